"""What the commands draw while they work."""

import pytest
import rich.progress

from actionclip_jax import progress
from actionclip_jax.cli import terminal


@pytest.mark.parametrize(("total", "drawn"), [(None, None), (12.3, 12)])
def test_a_task_whose_length_may_be_unknown_is_drawn_until_it_is_done(monkeypatch, total, drawn):
    bars = []

    class Bar(rich.progress.Progress):
        def __init__(self, *columns, **options):
            super().__init__(*columns, **options)
            bars.append(self)

    monkeypatch.setattr(rich.progress, "Progress", Bar)
    with terminal.progress_drawn():
        seconds = progress.Progress("film.mp4 (seconds)", None)
        seconds.total = total
        seconds.move_to(3.0)
        (task,) = bars[0].tasks
        assert (task.completed, task.total, task.visible) == (3, drawn, True)
        seconds.finish()
        assert not task.visible
