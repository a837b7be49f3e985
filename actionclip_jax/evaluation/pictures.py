"""The pictures of a report."""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import class_names, test_views, video
from actionclip_jax.evaluation import metrics, protocols, scoring
from actionclip_jax.plots import charts, sheets

WORST = 12  # clips of the contact sheet
TOP = 5  # labels shown for each
LONGEST = 100  # letters of a line that names the true labels
CAPTIONS = {  # by the beginning of the file's name
    "classes": "Score and number of clips of each class",
    "confusion": "What clips of each class are taken for",
    "coverage": "Selective accuracy: what not answering where the model is unsure would gain",
    "worst": "The most confident mistakes, as the model saw them",
}


def draw_pictures(
    out: pathlib.Path,
    trial: protocols.Trial,
    scores: scoring.Scores,
    threshold: float | None,
    sample: config.SampleConfig,
) -> list[str]:
    """Pictures of a trial, whose clips are all in `scores`; returns the names of their files."""
    if not scores.scored:
        return []
    one_label = scores.targets.ndim == 1
    metric = "accuracy" if one_label else "average precision"
    title = f"{metric} of each class, {trial.name}"
    charts.class_bars(out / "classes.png", scores.labels, scores.by_class(), title, scores.clips_by_class())
    drawn = ["classes.png"]
    if one_label:
        best = scores.probabilities.argmax(axis=1)
        charts.confusion_matrix(out / "confusion.png", scores.labels, scores.targets, best)
        curve = metrics.coverage_curve(scores.probabilities, scores.targets)
        charts.coverage_curve(out / "coverage.png", *curve, threshold)
        drawn += ["confusion.png", "coverage.png"]
    pages = sheets.row_sheets(out / "worst.png", worst_clips(trial, scores, sample))
    return drawn + [page.name for page in pages]


def worst_clips(trial: protocols.Trial, scores: scoring.Scores, sample: config.SampleConfig) -> list[sheets.Row]:
    """The clips whose wrong answer was the most probable, the worst first, decoded once more as the model saw them."""
    best, confidence = scores.probabilities.argmax(axis=1), scores.probabilities.max(axis=1)
    labels = trial.clips.label_ids[scores.rows]  # [scored, L], padded with -1
    wrong = np.flatnonzero((labels != best[:, None]).all(axis=1))
    rows = []
    views = (sample.views_time, sample.views_space)
    for index in wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]:
        clip = trial.clips[int(scores.rows[index])]
        read = functools.partial(trial.clips.reader.read, clip)
        try:
            seen = test_views.read_clips(read, sample)
        except (video.VideoError, OSError):  # saved features do not need the files any more
            continue
        true = [label for label in labels[index].tolist() if label >= 0]
        title = [f"{clip.id}{sheets.describe_view(views)}", *describe_mistake(scores, index, true), seen.note]
        ranked = [of_label(scores, index, label) for label in np.argsort(-scores.probabilities[index], kind="stable")]
        images = seen.clips[(views[1] - 1) // 2]  # the view that `describe_view` names
        right = [scores.labels[label] for label in true]
        rows.append(sheets.Row("\n".join(filter(None, title)), images, ranked[:TOP], right))
    return rows


def describe_mistake(scores: scoring.Scores, index: int, true: Sequence[int]) -> tuple[str, str]:
    """What the clip of this row is, and what it was taken for."""
    best = of_label(scores, index, int(scores.probabilities[index].argmax()))
    is_true, is_taken_for = (
        ", ".join(f"{name} ({value:.1%})" for name, value in pairs)
        for pairs in ([of_label(scores, index, label) for label in true], [best])
    )
    return f"true: {class_names.shorten(is_true or 'none of the classes', LONGEST)}", f"predicted: {is_taken_for}"


def of_label(scores: scoring.Scores, index: int, label: int) -> tuple[str, float]:
    """A label's text and its probability for the clip of this row."""
    return scores.labels[label], float(scores.probabilities[index, label])
