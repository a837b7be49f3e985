"""From the probabilities of windows to segments: a running median, and a label that holds until another one lasts."""

import itertools

import numpy as np
from numpy.lib import stride_tricks


def median_windows(seconds: float, hop: float) -> int:
    """How many windows, one every `hop` seconds, a running median over `seconds` looks at: an odd number."""
    return 2 * int(seconds / 2 / hop + 1e-9) + 1


def running_median(probabilities: np.ndarray, size: int) -> np.ndarray:
    """[W, C] -> [W, C]: of each label the median of `size` windows, this one in the middle; the outermost are repeated.

    Windows that were not scored (NaN) stay so and cut what is before from what is after. The medians of a window's
    labels need not sum to 1.
    """
    smooth, half = probabilities.copy(), size // 2
    scored = ~np.isnan(probabilities[:, :1]).ravel()
    for known, run in itertools.groupby(range(len(scored)), key=lambda window: scored[window]):
        rows = list(run)
        if known and half:
            padded = np.pad(probabilities[rows], ((half, half), (0, 0)), mode="edge")
            for label in range(probabilities.shape[1]):  # one by one, or a copy would be held for each of `size`
                neighbours = stride_tricks.sliding_window_view(padded[:, label], size)
                smooth[rows, label] = np.median(neighbours, axis=-1)
    return smooth


def find_runs(probabilities: np.ndarray, threshold: float) -> list[tuple[int, int, int]]:
    """[W, C] -> (label, first window, end) of the maximal runs of one best label at least that probable; -1: of none.

    All windows are in one of them.
    """
    best = probabilities.argmax(axis=1)
    best[~(probabilities[np.arange(len(best)), best] >= threshold)] = -1  # NaN, of windows not scored, too
    runs = []
    for label, run in itertools.groupby(range(len(best)), key=lambda window: int(best[window])):
        rows = list(run)
        runs.append((label, rows[0], rows[-1] + 1))
    return runs


def hold(runs: list[tuple[int, int, int]], bounds: np.ndarray, shortest: float) -> list[tuple[int, int, int]]:
    """Runs in which what is current stays so until something else, another label or none, lasts `shortest` seconds.

    `bounds` [W + 1] are the seconds that windows speak for. Before the first that lasts, none is current.
    """
    held: list[tuple[int, int, int]] = []
    for label, first, end in runs:
        before = held[-1][0] if held else -1
        current = label if bounds[end] - bounds[first] >= shortest - 1e-6 else before
        if held and current == before:
            held[-1] = (current, held[-1][1], end)
        else:
            held.append((current, first, end))
    return held


class EndedRuns:
    """The runs of `hold` one by one, as soon as nothing that comes later can change them."""

    def __init__(self, size: int, threshold: float, shortest: float) -> None:
        """`size` of the running median, in windows; the others are those of `find_runs` and `hold`."""
        self.size, self.threshold, self.shortest = size, threshold, shortest
        self.rows: list[np.ndarray] = []  # of the last `size` windows, as they were given
        self.middles: list[float] = []  # seconds, of all windows from the current run on and one before
        self.smooth: list[np.ndarray] = []  # medians of the windows of the current run
        self.count, self.first = 0, 0  # windows given; the first one of the current run

    def add(self, row: np.ndarray, middle: float) -> list[tuple[int, int, int]]:
        """Takes the probabilities [C] of the next window; returns the runs of a label that have now ended."""
        half = self.size // 2
        self.rows = [*self.rows, row][-self.size :]
        self.middles.append(middle)
        self.count += 1
        if self.count <= half:
            return []
        self.smooth.append(running_median(np.stack(self.rows), self.size)[-1 - half])
        runs = hold(find_runs(np.stack(self.smooth), self.threshold), self.bounds(), self.shortest)
        ended = [(label, self.first + first, self.first + end) for label, first, end in runs[:-1] if label >= 0]
        current = runs[-1][1]
        if current:
            self.middles = self.middles[current - (self.first == 0) :]
            self.smooth = self.smooth[current:]
            self.first += current
        return ended

    def bounds(self) -> np.ndarray:
        """[W + 1] seconds of the windows of the current run; the last, which may yet speak for more, to its middle."""
        middles = np.array(self.middles if self.first else [-self.middles[0], *self.middles])
        between, end = (middles[:-1] + middles[1:]) / 2, len(self.smooth)
        return between[: end + 1] if len(between) > end else np.append(between, middles[-1])
