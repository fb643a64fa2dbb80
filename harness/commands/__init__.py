"""One file per command: `options(parser)` says what it takes, `execute(arguments)` does it."""
