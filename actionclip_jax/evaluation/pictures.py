"""The pictures of a report."""

import functools
import pathlib

import numpy as np

from actionclip_jax.data import test_views, video
from actionclip_jax.evaluation import metrics, protocols, scoring
from actionclip_jax.inference import prediction
from actionclip_jax.plots import charts, sheets

WORST = 12  # clips of the contact sheet


def draw_pictures(
    out: pathlib.Path, trial: protocols.Trial, scores: scoring.Scores, threshold: float | None
) -> list[str]:
    """Pictures of a trial, whose clips are all in `scores`; returns the names of their files."""
    if not scores.scored:
        return []
    metric = "average precision" if scores.targets.ndim == 2 else "accuracy"
    charts.class_bars(out / "classes.png", scores.labels, scores.by_class(), f"{metric} of each class, {trial.name}")
    if scores.targets.ndim == 2:
        return ["classes.png"]
    charts.confusion_matrix(out / "confusion.png", scores.labels, scores.targets, scores.probabilities.argmax(axis=1))
    curve = metrics.coverage_curve(scores.probabilities, scores.targets)
    charts.coverage_curve(out / "coverage.png", *curve, threshold)
    pages = sheets.prediction_sheets(out / "worst.png", worst_clips(trial, scores), top=5)
    return ["classes.png", "confusion.png", "coverage.png", *(page.name for page in pages)]


def worst_clips(trial: protocols.Trial, scores: scoring.Scores) -> list[prediction.Prediction]:
    """The clips whose own label was least probable, the worst first, decoded once more."""
    own = scores.probabilities[np.arange(scores.scored), scores.targets]
    wrong = scores.probabilities.argmax(axis=1) != scores.targets
    predictions = []
    for index in [index for index in np.argsort(own, kind="stable") if wrong[index]][:WORST]:
        clip = trial.clips[int(scores.rows[index])]
        read = functools.partial(trial.clips.reader.read, clip)
        try:
            seen = test_views.read_clips(read, size=128, frames=8, views=(1, 1))
        except (video.VideoError, OSError):  # saved features do not need the files any more
            continue
        predictions.append(
            prediction.Prediction(
                f"{clip.id}: is {scores.labels[scores.targets[index]]}, given {own[index]:.1%}",
                scores.labels,
                scores.probabilities[index],
                frames=seen.indices,
                timestamps=seen.timestamps,
                note=seen.note,
                images=seen.clips[0],
            )
        )
    return predictions
