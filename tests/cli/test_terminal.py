"""What the commands draw or say while they work."""

import io
import time

import pytest
import rich.console
import rich.progress

from actionclip_jax import progress
from actionclip_jax.cli import progress_lines, terminal


@pytest.mark.parametrize(("total", "drawn"), [(None, None), (12.3, 12)])
def test_a_task_whose_length_may_be_unknown_is_drawn_until_it_is_done(monkeypatch, total, drawn):
    bars = []

    class Bar(rich.progress.Progress):
        def __init__(self, *columns, **options):
            super().__init__(*columns, **options)
            bars.append(self)

    monkeypatch.setattr(terminal, "ERRORS", rich.console.Console(file=io.StringIO(), force_terminal=True))
    monkeypatch.setattr(rich.progress, "Progress", Bar)
    with terminal.progress_drawn():
        seconds = progress.Progress("film.mp4 (seconds)", None)
        seconds.total = total
        seconds.move_to(3.0)
        (task,) = bars[0].tasks
        assert (task.completed, task.total, task.visible) == (3, drawn, True)
        seconds.finish()
        assert not task.visible


def test_where_no_bar_can_be_drawn_lines_say_how_far_work_is(monkeypatch, capsys):
    monkeypatch.setattr(progress_lines, "SECONDS", 0.05)
    with terminal.progress_drawn():
        training = progress.Progress("training", 1000)
        training.move_to(0)
        training.move_to(20, "loss 3.100, 34 clips/s")
        training.move_to(40, "loss 2.310, 35 clips/s")
        deadline = time.monotonic() + 20
        said = ""
        while "nothing new" not in said and time.monotonic() < deadline:
            time.sleep(0.02)
            said += capsys.readouterr().err
        training.finish()
    first = said.splitlines()[0]
    assert first.startswith("training: 40 of 1,000 (4%), loss 2.310, 35 clips/s, ") and " left" in first


def test_lines_are_of_the_task_that_moved_last_and_know_its_pace():
    lines = progress_lines.ProgressLines(print, lambda: None)
    assert lines.line(0.0) is None
    lines.show("training", 300, 1000, "")
    began = time.monotonic()
    assert lines.line(began) == "training: 300 of 1,000 (30%)", "no step of this start was seen yet"
    lines.show("training", 310, 1000, "")
    lines.show("training", 320, 1000, "loss 2")
    assert lines.line(began + 100).startswith("training: 320 of 1,000 (32%), loss 2, ")
    assert lines.line(began + 100).endswith("nothing new for 2 min")
    assert ", 11 h 20 min left, " in lines.line(began + 600), "680 steps, of which ten took ten minutes"
    lines.show("evaluating test", 5, None, "")
    assert lines.line(began).startswith("evaluating test: 5")
    lines.show("evaluating test", 7, 7, "")
    assert lines.line(began).startswith("training: 320")


def test_what_is_asked_at_every_step_may_end_the_work():
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), terminal.progress_drawn(check):
        progress.Progress("training", 10).advance()


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (720, "12 min"), (11_100, "3 h 05 min"), (190_000, "2 days 4 h")]
)
def test_durations_as_people_say_them(seconds, text):
    assert progress_lines.describe_duration(seconds) == text
