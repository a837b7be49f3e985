"""Ctrl-C ends a command in order, wherever it comes."""

import _thread
import contextlib
import gc
import os
import signal
import sys
import types
from collections.abc import Iterator
from typing import Any


class Interrupts:
    """Within `heard`, Ctrl-C raises KeyboardInterrupt, and is remembered: libraries make errors of their own of it."""

    def __init__(self) -> None:
        self.came = False

    @contextlib.contextmanager
    def heard(self, *, at_last: bool) -> Iterator[None]:
        """Takes the signal over where it can: in the main thread, which alone receives signals.

        `at_last`: nothing follows but the end of the process, which Ctrl-C does not disturb any more.
        """
        try:
            before = signal.signal(signal.SIGINT, self._interrupt)
        except ValueError:
            yield
            return
        report = sys.unraisablehook

        def raise_again(unraisable: Any) -> None:
            if unraisable.exc_type is KeyboardInterrupt:  # it came in a destructor, say, where Python drops it
                _thread.interrupt_main()
            else:
                report(unraisable)

        sys.unraisablehook = raise_again
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN if at_last else before)
            sys.unraisablehook = report

    def _interrupt(self, number: int, frame: types.FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


def end_process(code: int) -> None:
    """Ends this process: threads that still decode or compile may crash Python's usual end."""
    gc.collect()  # what the command held lets go of its worker processes and their memory
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)
