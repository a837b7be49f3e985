"""Ending a run between two steps, in all its processes at the same one."""

import os
import signal
import types

import jax
from jax.experimental import multihost_utils


class Stopped(Exception):
    """The run was asked to stop."""


class StopSignal:
    """Within the `with`, SIGTERM and Ctrl-C ask for the end of the step; only a second Ctrl-C ends the program at once.

    Of several processes it is enough that one gets a signal: JAX tells the others, and all stop at the same place. A
    cluster sends SIGTERM before it takes a machine away, sometimes more than once.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the first signal this process got
        self._alone = jax.process_count() == 1
        self._asked = 0

    def __enter__(self) -> "StopSignal":
        # with several processes JAX itself handles SIGTERM, from jax.distributed.initialize on
        handlers = {signal.SIGINT: self._interrupt, **({signal.SIGTERM: self._terminate} if self._alone else {})}
        self._before = {number: signal.getsignal(number) for number in handlers}
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        except ValueError:  # not the main thread, which alone receives signals
            self._before = {}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            # a process that was told to end does so in order, however often it is told
            last = number == signal.SIGTERM == self.received
            signal.signal(number, signal.SIG_IGN if last else handler)

    def check(self) -> None:
        """Raises Stopped if the run was asked to stop. All processes call it equally often, and it raises in all."""
        self._asked += 1
        if self.received is not None if self._alone else multihost_utils.reached_preemption_sync_point(self._asked):
            raise Stopped

    def _interrupt(self, number: int, frame: types.FrameType | None) -> None:
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if not self._alone:
            os.kill(os.getpid(), signal.SIGTERM)

    def _terminate(self, number: int, frame: types.FrameType | None) -> None:
        self.received = self.received or number
