"""Confidence intervals of scores: how far clips of the same kind, had others been drawn, would move them.

They take clips for independent draws. Where many come from one recording, the truth is wider.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from actionclip_jax.evaluation import metrics, scoring

LEVEL = 0.95
DRAWS = 1000  # of the bootstrap
SEED = 0
CHUNK = 1 << 22  # counts held at once
ABOUT = (
    f"Ranges in brackets are {LEVEL:.0%} confidence intervals. For shares of clips (top-1, top-5, answered, accuracy "
    "of a class) they are Wilson's. For the others they are the percentiles of a bootstrap over the clips "
    f"({DRAWS:,} draws, seed {SEED}). Clips drawn twice raise ECE and average precision, so the percentiles of these "
    "are reflected at the score. They are rough: of a few hundred clips they hold the truth in about 8 of 10 cases. A "
    "score whose draws all agree has no range. All take the clips for independent: where many are parts of one "
    "recording, the true range is wider."
)

Interval = list[float] | None  # lowest and highest, as JSON; None where nothing can be told


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Those of one measurement."""

    scores: dict[str, Interval]  # of each of `scores.all_metrics(threshold)`
    classes: list[Interval]  # of each of `scores.by_class()`


def measure(scores: scoring.Scores, threshold: float | None) -> Intervals:
    """The intervals of all scores."""
    values = scores.all_metrics(threshold)
    if not scores.scored:
        return Intervals(dict.fromkeys(values), [None] * len(scores.labels))
    return (of_precisions if scores.targets.ndim == 2 else of_accuracies)(scores, values)


def of_precisions(scores: scoring.Scores, values: Mapping[str, float]) -> Intervals:
    """With several labels a clip."""

    def score(counts: np.ndarray) -> np.ndarray:
        pairs = zip(scores.probabilities.T, scores.targets.T, strict=True)
        return np.stack([metrics.counted_precisions(*pair, counts) for pair in pairs], axis=1)

    drawn = draw(score, scores.scored)  # [DRAWS, C]
    means = np.array([metrics.nan_mean(row) for row in drawn])
    classes = [reflected(column, value) for column, value in zip(drawn.T, scores.by_class(), strict=True)]
    return Intervals({name: reflected(means, value) for name, value in values.items()}, classes)


def of_accuracies(scores: scoring.Scores, values: Mapping[str, float]) -> Intervals:
    """With one label a clip."""
    labels, confidence = scores.targets, scores.probabilities.max(axis=1)
    correct = scores.probabilities.argmax(axis=1) == labels

    def score(counts: np.ndarray) -> np.ndarray:
        return np.array([mean_class_and_error(row) for row in counts])

    def mean_class_and_error(counts: np.ndarray) -> tuple[float, float]:
        shares = metrics.shares_by_class(correct, labels, len(scores.labels), counts)
        return metrics.nan_mean(shares), metrics.calibration_gap(confidence, correct, counts)

    means, errors = draw(score, scores.scored).T
    sizes = dict.fromkeys(("top1", "top5", "coverage"), scores.scored)
    sizes["answered_top1"] = round(values.get("coverage", 0) * scores.scored)
    found = {name: wilson(values[name] * size, size) for name, size in sizes.items() if name in values}
    found["mean_class_accuracy"] = percentiles(means)
    found["calibration_error"] = reflected(errors, values["calibration_error"])
    counts = zip(scores.by_class(), scores.clips_by_class(), strict=True)
    return Intervals({name: found[name] for name in values}, [wilson(share * clips, clips) for share, clips in counts])


def wilson(right: float, clips: int) -> Interval:
    """Wilson's score interval of a share; `right` is a whole number but for rounding."""
    if not clips:
        return None
    low, high = stats.binomtest(round(right), clips).proportion_ci(LEVEL, method="wilson")
    return [float(low), float(high)]


def draw(score: Callable[[np.ndarray], np.ndarray], clips: int) -> np.ndarray:
    """Bootstrap: `score` maps how often each clip was drawn [R, N] to values [R, ...] -> [DRAWS, ...]."""
    rng, values = np.random.default_rng(SEED), []
    rows = max(1, CHUNK // clips)
    for start in range(0, DRAWS, rows):
        indices = rng.integers(clips, size=(min(rows, DRAWS - start), clips))
        values.append(score(np.stack([np.bincount(row, minlength=clips) for row in indices], dtype=np.int32)))
    return np.concatenate(values)


def percentiles(drawn: np.ndarray) -> Interval:
    """From the draws' lower to their upper percentile."""
    known = drawn[~np.isnan(drawn)]
    if not len(known) or np.ptp(known) == 0:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def reflected(drawn: np.ndarray, value: float) -> Interval:
    """The percentiles reflected at the score itself, between 0 and 1: what raises each draw is taken out again."""
    if (ends := percentiles(drawn)) is None:
        return None
    return [min(1.0, max(0.0, 2 * float(value) - end)) for end in reversed(ends)]
