"""How far long work is. The command line draws it; elsewhere nobody is told unless they ask."""

import contextlib
import contextvars
from collections.abc import Callable, Generator

# told of every step: the task, how far it is, of how much (None: nobody knows), and a comment
Display = Callable[[str, float, float | None, str], None]

_display: contextvars.ContextVar[Display | None] = contextvars.ContextVar("display", default=None)


@contextlib.contextmanager
def shown_by(display: Display) -> Generator[None]:
    """Within, `display` is told of every step of all work. What it raises ends the work."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


@contextlib.contextmanager
def drawn() -> Generator[None]:
    """Within, a bar shows how far each task of several steps is, in a notebook or on stderr; unless others show it."""
    if _display.get() is not None:
        yield
        return
    from tqdm import auto  # finds out where it runs, which those who draw nothing need not pay

    bars: dict[str, auto.tqdm] = {}

    def show(task: str, done: float, total: float | None, comment: str) -> None:
        if total == 1:
            return
        if task not in bars:
            bars[task] = auto.tqdm(desc=task, total=total, leave=False)
        bar = bars[task]
        bar.total = total
        bar.set_postfix_str(comment, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bars.pop(task).close()

    try:
        with shown_by(show):
            yield
    finally:
        for bar in bars.values():
            bar.close()


class Progress:
    """How far one task is, in whatever it is counted: clips, files, seconds."""

    def __init__(self, task: str, total: float | None) -> None:
        self.task, self.total, self.done = task, total, 0.0

    def advance(self, count: float = 1) -> None:
        """So much more is done."""
        self.move_to(self.done + count)

    def move_to(self, done: float, comment: str = "") -> None:
        """So much is done."""
        self.done = done
        if (display := _display.get()) is not None:
            display(self.task, done, self.total, comment)

    def finish(self) -> None:
        """All is done, however much was foretold."""
        self.total = self.done
        self.move_to(self.done)
