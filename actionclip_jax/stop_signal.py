"""Ending a run between two steps."""

import signal
import types


class StopSignal:
    """Within the `with`, Ctrl-C asks for the end of the step; only a second one ends the program at once."""

    def __init__(self) -> None:
        self.wanted = False

    def __enter__(self) -> "StopSignal":
        self._before = signal.getsignal(signal.SIGINT)
        try:
            signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not the main thread, which alone receives signals
            self._before = None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: types.FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
