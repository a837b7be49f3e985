"""Ctrl-C ends a command with one line, wherever it comes.

An exception that comes at any place, as Python's own does, is lost in a callback of a library, printed by an extension
that is just imported, or crashes it. So outside of the regions below the process simply ends, as if it was killed.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator

EXIT_CODE = 130  # as shells have it
PATIENCE_SECONDS = 5  # for a task to come to a place where it can be stopped


def end_at_once(*signal_and_frame: object) -> None:
    """Ends the process: the handler of a signal, or called by a timer."""
    show_cursor = b"\x1b[?25h" if sys.__stderr__ is not None and sys.__stderr__.isatty() else b""
    with contextlib.suppress(OSError):
        os.write(2, show_cursor + b"stopped\n")
    os._exit(EXIT_CODE)


@contextlib.contextmanager
def handled_by(handler: Callable[..., None]) -> Generator[None]:
    """Ctrl-C calls the handler, where that can be: in the main thread, which alone receives signals."""
    try:
        before = signal.signal(signal.SIGINT, handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def stoppable() -> Generator[Callable[[], None]]:
    """A task that calls the function it gets every now and then, which raises KeyboardInterrupt after a Ctrl-C.

    If it does not for PATIENCE_SECONDS, or at a second Ctrl-C, the process ends.
    """
    timers: list[threading.Timer] = []

    def ask(*signal_and_frame: object) -> None:
        if timers:
            end_at_once()
        timers.append(threading.Timer(PATIENCE_SECONDS, end_at_once))
        timers[0].daemon = True
        timers[0].start()

    def check() -> None:
        for timer in timers:
            timer.cancel()
        if timers:
            raise KeyboardInterrupt

    with handled_by(ask):
        yield check
        check()
