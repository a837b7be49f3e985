"""How far work is, as plain lines: for logs and other places where a bar that moves cannot be drawn."""

import dataclasses
import threading
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 60.0  # from line to line


@dataclasses.dataclass
class Task:
    """How far a task is, and since when; times are those of `time.monotonic`."""

    began: float
    first: float  # how far it was then
    shown: int = 0  # times
    moved: float = 0.0
    done: float = 0.0
    total: float | None = None
    comment: str = ""

    def seconds_left(self, now: float) -> float | None:
        """What is left at the pace so far; None where that cannot be told."""
        if not self.total or self.done <= self.first:
            return None
        return (self.total - self.done) * (now - self.began) / (self.done - self.first)


class ProgressLines:
    """Within the `with`: says every minute how far the task that moved last is; also where nothing moved meanwhile."""

    def __init__(self, say: Callable[[str], None], check: Callable[[], None]) -> None:
        """`check` is called at every step of a task, and what it raises ends the work."""
        self._say, self._check = say, check
        self._tasks: dict[str, Task] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress lines", daemon=True)

    def __enter__(self) -> "ProgressLines":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def show(self, name: str, done: float, total: float | None, comment: str) -> None:
        """A step of a task: a `progress.Display`."""
        self._check()
        now = time.monotonic()
        with self._lock:
            task = self._tasks.pop(name, Task(now, done))
            if task.shown == 1:  # what came before the first step, such as compiling, does not belong to the pace
                task.began, task.first = now, done
            task.shown, task.moved, task.done, task.total, task.comment = task.shown + 1, now, done, total, comment
            if done != total:
                self._tasks[name] = task  # the last one is the one that moved last

    def line(self, now: float) -> str | None:
        """What is to be said; None while no task is under way."""
        with self._lock:
            if not self._tasks:
                return None
            name, task = next(reversed(self._tasks.items()))
        parts = [f"{name}: {task.done:,.0f}"]
        if task.total:
            parts[0] += f" of {task.total:,.0f} ({task.done / task.total:.0%})"
        if task.comment:
            parts.append(task.comment)
        if (left := task.seconds_left(now)) is not None:
            parts.append(f"{describe_duration(left)} left")
        if now - task.moved >= SECONDS:
            parts.append(f"nothing new for {describe_duration(now - task.moved)}")
        return ", ".join(parts)

    def _run(self) -> None:
        while not self._ended.wait(SECONDS):
            if line := self.line(time.monotonic()):
                self._say(line)


def describe_duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 days 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} days {hours % 24} h"
