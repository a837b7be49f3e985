"""A run that hangs ends, and says where it hung."""

import collections
import faulthandler
import sys
import time

FACTOR = 20  # a step may take so many times the longest of the last ones
RECENT = 100  # steps


class Watchdog:
    """Within the `with`: prints the stacks of all threads and ends the process, exit code 1, when nothing moves.

    It is the C library's timer of `faulthandler`, which fires even while a hung call holds the interpreter.
    """

    def __init__(self, seconds: float) -> None:
        """`seconds`: what a step may take at least, and anything else ten times; 0: for ever."""
        self.seconds = seconds
        self._intervals: collections.deque[float] = collections.deque(maxlen=RECENT)
        self._last: float | None = None  # when the step before ended, if nothing came in between

    def __enter__(self) -> "Watchdog":
        self.other()
        return self

    def __exit__(self, *exception: object) -> None:
        faulthandler.cancel_dump_traceback_later()

    def step(self) -> None:
        """A step has ended, and the next one begins."""
        now = time.perf_counter()
        if self._last is not None:
            self._intervals.append(now - self._last)
        self._last = now
        self._allow(max(self.seconds, FACTOR * max(self._intervals, default=0)))

    def other(self) -> None:
        """Something else has moved or begins: what nobody knows the usual duration of."""
        self._last = None
        self._allow(10 * self.seconds)

    def _allow(self, seconds: float) -> None:
        if self.seconds:
            # sys.stderr may be something without a file, as in notebooks
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
