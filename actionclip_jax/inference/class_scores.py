"""From features of clips and of class prompts to the scores of the classes. On the host, in numpy."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

CHUNK = 1 << 24  # similarities held at once
LARGEST = 80.0  # logarithm of a scale: float32 ends at 88
ABSOLUTE = "each label by itself: these probabilities do not sum to 1"  # said beside those of a sigmoid


@dataclasses.dataclass(frozen=True)
class Scaling:
    """What makes logits of similarities: scale * similarity + bias."""

    scale: float = 100.0  # ActionCLIP's source tests with this constant, not with the trained scale
    bias: float = 0.0


def scaling_of(params: Mapping[str, Any]) -> Scaling:
    """Of a model with a bias, as SigLIP's, its own scale and bias; of all others the constant.

    Raises ValueError for a scale that leaves no numbers.
    """
    if "logit_bias" not in params:
        return Scaling()
    if (logit_scale := float(params["logit_scale"])) > LARGEST:
        raise ValueError(f"logit_scale is {logit_scale:g}, the logarithm of a scale: expected at most {LARGEST:g}")
    return Scaling(math.exp(logit_scale), float(params["logit_bias"]))


def class_scores(
    video_features: np.ndarray,
    class_features: np.ndarray,
    scaling: Scaling,
    *,
    average: str = "templates",
    kind: str = "softmax",
) -> np.ndarray:
    """Unit-norm [N, V, E] of V views and [C, P, E] of P templates -> scores [N, C] float32, the mean over views.

    Args:
        video_features: of the clips.
        class_features: of the classes.
        scaling: of the model, as `scaling_of` tells it.
        average: `templates`: the mean of the templates' scores, as the source has it; `embeddings`: the score of the
            mean of the templates' features, made unit-norm.
        kind: `softmax` over the classes, out of which a bias drops, or the `sigmoid` of each class on its own, which
            orders the clips of a class by their similarity alone. It is a probability where the model has a bias.
    """
    if average == "embeddings":
        mean = class_features.mean(axis=1, keepdims=True)
        class_features = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    count, views, width = video_features.shape
    classes, templates = class_features.shape[:2]
    flat = class_features.reshape(-1, width).T
    scores = np.empty((count, classes), np.float32)
    step = max(1, CHUNK // (views * classes * templates))
    for start in range(0, count, step):
        part = video_features[start : start + step]
        logits = scaling.scale * (part.reshape(-1, width) @ flat).reshape(-1, classes, templates)
        if kind == "softmax":
            part_scores = np.exp(logits - logits.max(axis=1, keepdims=True))
            part_scores /= part_scores.sum(axis=1, keepdims=True)
        else:
            part_scores = np.exp(-np.logaddexp(0, -(logits.astype(np.float64) + scaling.bias)))
        scores[start : start + step] = part_scores.mean(axis=2).reshape(-1, views, classes).mean(axis=1)
    return scores
