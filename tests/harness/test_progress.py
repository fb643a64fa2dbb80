"""Progress where there is no terminal: lines at phases, and never half a minute of silence."""

from __future__ import annotations

import io
import time

from harness.commands.progress import Bars, Lines


def test_a_line_when_a_phase_begins_and_no_long_silence() -> None:
    stream = io.StringIO()
    with Lines(stream, every=0.05) as lines:
        lines.begin("loading")
        lines.begin("tuning", 4)
        lines.now("antonym fv, seed 0")
        lines.done()
        time.sleep(0.3)
    loading, tuning, *later = stream.getvalue().splitlines()
    assert (loading, tuning) == ("loading: ...", "tuning: 0 of 4")
    assert len(later) >= 2
    assert all("1 of 4" in line and line.endswith("antonym fv, seed 0") for line in later)


def test_time_left_is_what_the_steps_so_far_say() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin("measuring", 40)
    lines.done(10)
    lines._started -= 20
    lines._say()
    assert stream.getvalue().splitlines()[-1] == "measuring: 10 of 40, 20 s, about 60 s left"


def test_foreign_names_are_no_markup() -> None:
    with Bars() as bars:
        bars.begin("tuning", 2)
        bars.now("[/x] [red]antonym")
        bars.done()
