"""Scores of a test: probabilities of the classes, and how good they are. On the host, in numpy."""

from collections.abc import Mapping, Sequence

import numpy as np


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows [N, C] whose label [N] is among the k most probable classes; of equal ones the first counts."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def class_accuracies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of the clips [N] of each class whose most probable class [N, C] it is -> [C]; NaN without clips."""
    correct = probabilities.argmax(axis=1) == labels
    return shares_by_class(correct, labels, probabilities.shape[1], np.ones(len(labels)))


def shares_by_class(correct: np.ndarray, labels: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Share of right clips [N] of each class -> [C], where each clip counts so many times [N]; NaN without clips."""
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, counts * correct, classes) / np.bincount(labels, counts, classes)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (arXiv 1706.04599): how far, on average, confidence and accuracy lie apart.

    Clips [N, C] are sorted into equal bins (a, b] of their greatest probability; in each bin its mean is compared with
    the share of right answers.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return calibration_gap(confidence, correct, np.ones(len(labels)), bins)


def calibration_gap(confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray, bins: int = 15) -> float:
    """The same from the greatest probability of each clip [N] and whether it is right, each counted so many times."""
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.abs(np.bincount(index, counts * (confidence - correct), minlength=bins))
    return float(gaps.sum() / counts.sum())


def confused_pairs(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, int]]:
    """The mistakes (class, taken for, clips), the most frequent first."""
    best = probabilities.argmax(axis=1)
    pairs, counts = np.unique(np.stack([labels, best], 1)[best != labels], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[row, 0]), int(pairs[row, 1]), int(counts[row])) for row in order]


def coverage_curve(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What saying "none of these" below a threshold does -> thresholds [N], coverage [N], accuracy [N].

    Row i answers the i + 1 clips of the greatest probability: `thresholds` is the least of them, `coverage` their share
    of all clips, `accuracy` the share of right ones among them.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[order]
    answered = np.arange(1, len(labels) + 1)
    return confidence[order], answered / len(labels), np.cumsum(correct) / answered


def average_precisions(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision of each class [C] of scores [N, C] for targets [N, C] of ones and zeros; NaN without a one."""
    values = np.full(targets.shape[1], np.nan)
    for label in np.flatnonzero(targets.any(axis=0)):
        values[label] = average_precision(scores[:, label], targets[:, label])
    return values


def average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Area under the steps of precision over recall of scores [N] for targets [N] of ones and zeros, at least one 1.

    A threshold takes all clips of equal score or none of them, so their order does not matter.
    """
    return float(counted_precisions(scores, targets, np.ones((1, len(scores)), np.int64))[0])


def counted_precisions(scores: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The same where each clip counts so many times [R, N] -> [R]; NaN without a one."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # place that each threshold takes
    ones = np.flatnonzero(targets[order])
    ones_taken = np.searchsorted(ones, last, side="right")
    gains = np.diff(ones_taken, prepend=0) > 0  # the other thresholds add nothing to the area
    taken = np.cumsum(counts[:, order], axis=1)[:, last[gains]]
    correct = np.cumsum(counts[:, order[ones]], axis=1)[:, ones_taken[gains] - 1]
    gained = np.diff(correct, axis=1, prepend=0) * correct
    with np.errstate(invalid="ignore"):
        return np.sum(gained / np.maximum(taken, 1), axis=1) / counts[:, order[ones]].sum(axis=1)


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean average precision over the classes that occur, computed once over all clips, as Charades asks."""
    return nan_mean(average_precisions(scores, targets))


def nan_mean(values: np.ndarray) -> float:
    """Mean of those that are numbers; NaN if none is."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def harmonic_mean(first: float, second: float) -> float:
    """2 a b / (a + b) of two accuracies; 0 where both are."""
    return 2 * first * second / (first + second) if first + second else 0.0


def mean_and_deviation(trials: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Each number over the trials: its mean and its standard deviation (of the trials themselves: divided by n)."""
    return {
        name: {"mean": float(np.mean(values)), "deviation": float(np.std(values)), "trials": len(values)}
        for name in (trials[0] if trials else ())
        if (values := [trial[name] for trial in trials if name in trial])
    }
