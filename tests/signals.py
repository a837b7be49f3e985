"""Signals in the middle of a run."""

import contextlib
import os
import signal

import pytest

from actionclip_jax import progress


@contextlib.contextmanager
def signal_after_the_first_step(number):
    """Within, this process gets the signal after the first step of the next training."""
    before, move_to, sent = signal.getsignal(signal.SIGTERM), progress.Progress.move_to, []

    def move_and_signal(self, done, comment=""):
        if self.task == "training" and done and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        move_to(self, done, comment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Progress, "move_to", move_and_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)  # a run that it has ended ignores it from then on
    assert sent
