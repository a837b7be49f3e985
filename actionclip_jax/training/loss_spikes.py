"""Losses far above what a run had lately."""

import collections
import math
import statistics

RECENT = 200  # steps that say what is usual
LEAST = 20  # of them, before anything is called unusual
DEVIATIONS = 8  # robust standard deviations above the median


class LossSpikes:
    """Tells a spike from noise by the median and the median absolute deviation, which spikes hardly move."""

    def __init__(self) -> None:
        self.count = 0
        self._recent: collections.deque[float] = collections.deque(maxlen=RECENT)

    def add(self, step: int, loss: float) -> str | None:
        """Takes the loss of a step; returns a warning of a spike. A loss that is not finite is none: it is skipped."""
        if not math.isfinite(loss):
            return None
        warning = None
        if len(self._recent) >= LEAST:
            usual = statistics.median(self._recent)
            deviation = 1.4826 * statistics.median(abs(value - usual) for value in self._recent)  # of a normal one
            if loss > usual + DEVIATIONS * max(deviation, 0.01 * abs(usual)):
                self.count += 1
                warning = f"step {step}: loss {loss:.3f}, where {usual:.3f} ± {deviation:.3f} was usual"
        self._recent.append(loss)
        return warning
