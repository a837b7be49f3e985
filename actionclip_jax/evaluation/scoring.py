"""Scoring a model on a data set: every clip once, on all devices and hosts."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np
import transformers

from actionclip_jax import text
from actionclip_jax.data import table
from actionclip_jax.evaluation import clip_encoder, features, metrics
from actionclip_jax.inference import class_scores, encoder


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model makes of a data set."""

    labels: tuple[str, ...]
    clip_count: int  # in the data set
    scored: int  # of them; the others cannot be decoded
    metrics: dict[str, float]  # top1 and top5, or mean_average_precision
    probabilities: np.ndarray  # [scored, C] float32
    targets: np.ndarray  # [scored] int32, or multi-label [scored, C] uint8
    rows: np.ndarray  # [scored] rows of the data set

    @property
    def primary(self) -> float:
        """The metric that says which of two models is better: top1, or with several labels a clip mAP."""
        return next(iter(self.metrics.values()))

    def all_metrics(self, threshold: float | None = None) -> dict[str, float]:
        """The metrics, and what else is worth a column; below `threshold` the answer is "none of these"."""
        values, probabilities, targets = dict(self.metrics), self.probabilities, self.targets
        if not self.scored or targets.ndim == 2:
            return values
        values["mean_class_accuracy"] = metrics.nan_mean(self.by_class())
        values["calibration_error"] = metrics.calibration_error(probabilities, targets)
        if threshold is not None:
            answered = probabilities.max(axis=1) >= threshold
            values["coverage"] = float(answered.mean())
            if answered.any():
                values["answered_top1"] = metrics.top_k(probabilities[answered], targets[answered], 1)
        return values

    def by_class(self) -> np.ndarray:
        """Accuracy, or with several labels average precision, of each class [C]; NaN for a class without clips."""
        if self.targets.ndim == 2:
            return metrics.average_precisions(self.probabilities, self.targets)
        return metrics.class_accuracies(self.probabilities, self.targets)

    def clips_by_class(self) -> np.ndarray:
        """How many of the scored clips each class has [C]."""
        if self.targets.ndim == 2:
            return self.targets.sum(axis=0, dtype=np.int64)
        return np.bincount(self.targets, minlength=len(self.labels))

    def by_chance(self) -> dict[str, float]:
        """The metrics that have a chance level, of answers drawn at random; the first is that of `primary`.

        Average precision of a random order is about the share of clips that have the class.
        """
        count = len(self.labels)
        if self.targets.ndim == 2:
            there = self.clips_by_class()
            share = float(there[there > 0].mean() / self.scored) if there.any() else float("nan")
            return {"mean_average_precision": share}
        return {"top1": 1 / count, "top5": min(1.0, 5 / count), "mean_class_accuracy": 1 / count}

    def summary(self) -> dict[str, float]:
        """Counts and metrics; JSON."""
        counts = {"clips": self.clip_count, "scored": self.scored, "classes": len(self.labels)}
        return {**self.metrics, **counts, "chance": next(iter(self.by_chance().values()))}


class Evaluator:
    """Scores one data set, again and again as the parameters change; compiles once."""

    def __init__(
        self,
        encode_clips: clip_encoder.ClipEncoder,
        tokenizer: transformers.PreTrainedTokenizerBase,
        templates: str,
        *,
        average: str = "templates",
        kind: str = "softmax",
    ) -> None:
        """`average` and `kind` are those of `score`.

        Raises:
            ValueError: templates or labels that cannot be encoded.
        """
        self.encode_clips, self.clips = encode_clips, encode_clips.clips
        self.average, self.kind = average, kind
        model, compute = encode_clips.model, encode_clips.compute
        filled = text.load_templates(templates)
        tokens = text.token_table(tokenizer, self.clips.labels, filled, model.text)
        self.tokens = text.cut_padding(tokens, model.text)  # [C, P, L]
        self.encode_texts = encoder.compile_for(encoder.encode_texts, model, compute, encode_clips.mesh)

    def __call__(
        self, params: Mapping[str, jax.Array], task: str = "evaluating", after_batch: Callable[[], None] = lambda: None
    ) -> Scores:
        """Scores the parameters; `task` and `after_batch` are those of `clip_encoder.ClipEncoder`."""
        classes = np.asarray(self.encode_texts(params, self.tokens))
        encoded = self.encode_clips(params, task, after_batch=after_batch)
        scaling = class_scores.scaling_of(params)
        return score(self.clips, encoded, classes, scaling, average=self.average, kind=self.kind)


def score(
    clips: table.ClipTable,
    encoded: features.Features,
    classes: np.ndarray,
    scaling: class_scores.Scaling,
    *,
    average: str = "templates",
    kind: str = "softmax",
) -> Scores:
    """Features of the clips, in their order, and of their classes [C, P, E] -> scores of those that could be decoded.

    `scaling`, `average` and `kind` are those of `class_scores.class_scores`; the scores of the views are averaged.
    """
    rows = np.flatnonzero(encoded.decoded)
    probabilities = class_scores.class_scores(encoded.values[rows], classes, scaling, average=average, kind=kind)
    if clips.multi_label:
        targets = multi_hot(clips.label_ids[rows], len(clips.labels))
        values = {"mean_average_precision": metrics.mean_average_precision(probabilities, targets)}
    else:
        targets = clips.label_ids[rows, 0]
        values = {"top1": metrics.top_k(probabilities, targets, 1) if len(rows) else float("nan")}
        if len(rows) and len(clips.labels) > 5:
            values["top5"] = metrics.top_k(probabilities, targets, 5)
    return Scores(clips.labels, len(clips), len(rows), values, probabilities, targets, rows)


def multi_hot(label_ids: np.ndarray, classes: int) -> np.ndarray:
    """Labels [N, L] int32, padded with -1 -> uint8 [N, C] of ones and zeros."""
    ones = np.zeros((len(label_ids), classes + 1), np.uint8)  # the last column takes the padding
    np.put_along_axis(ones, label_ids, 1, axis=1)
    return ones[:, :classes]
