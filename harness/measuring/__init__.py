"""Documents asked under a vector that is given."""
