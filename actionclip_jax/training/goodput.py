"""Where the wall time of a run goes, over all its starts."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

from actionclip_jax import files

FILE = "time.json"  # in the workdir
BUCKETS = ("start", "compile", "data_wait", "step", "checkpoint", "evaluation")
AFTER_RESTARTS = {
    "lost": "work that had to be done again",
    "down": "from the last that is known of a start to the next one",
}


class Clock:
    """Wall time by what it was spent on. Every moment belongs to exactly one bucket."""

    def __init__(self, began: float | None = None) -> None:
        """`began`: `time.perf_counter()` when the program started; now by default."""
        now = time.perf_counter()
        self._to_time_of_day = time.time() - now
        self._lap = now if began is None else began
        self._began = self._first = self._lap + self._to_time_of_day
        self.starts = 1
        self.seconds = dict.fromkeys((*BUCKETS, *AFTER_RESTARTS), 0.0)

    def lap(self, bucket: str) -> None:
        """Counts the time since the lap before for a bucket."""
        now = time.perf_counter()
        self.seconds[bucket] += now - self._lap
        self._lap = now

    def state(self) -> dict[str, Any]:
        """What the next start goes on from; JSON. Seconds since 1970; `last` is the time of the last lap."""
        last = self._lap + self._to_time_of_day
        return {"first": self._first, "last": last, "starts": self.starts, "seconds": dict(self.seconds)}

    def go_on(self, saved: Mapping[str, Any] | None, last: Mapping[str, Any] | None) -> None:
        """Joins this start to those before.

        Args:
            saved: the state kept with the checkpoint the run goes on from; None: from the beginning.
            last: the last state of the start before; None: not known, so nothing counts as lost.
        """
        before = last or saved
        if before is None:
            return
        then, now = (state["seconds"] if state else dict.fromkeys(self.seconds, 0.0) for state in (saved, before))
        for bucket in BUCKETS:
            self.seconds[bucket] += then[bucket]
            self.seconds["lost"] += now[bucket] - then[bucket]
        for bucket in AFTER_RESTARTS:
            self.seconds[bucket] += now[bucket]
        self.seconds["down"] += max(0.0, self._began - before["last"])
        self.starts = before["starts"] + 1
        self._first = before["first"]

    def summary(self) -> dict[str, float]:
        """Seconds in each bucket, and the wall time `total` from the first start until now."""
        return {name: round(value, 3) for name, value in {**self.seconds, "total": time.time() - self._first}.items()}

    def goodput(self) -> float:
        """Share of the time that steps took, of all but what the run was down."""
        up = sum(self.seconds.values()) - self.seconds["down"]
        return self.seconds["step"] / up if up else 0.0


def write(workdir: pathlib.Path, clock: Clock) -> None:
    """Notes where the time went so far, from which the next start goes on. Only the first process writes."""
    if not jax.process_index():
        files.write_json(workdir / FILE, clock.state())


def read(workdir: pathlib.Path) -> dict[str, Any] | None:
    """What was noted last; None if that cannot be told."""
    return files.read_if_whole(workdir / FILE)
