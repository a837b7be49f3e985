"""From features of clips and of class prompts to the scores of the classes. On the host, in numpy."""

import numpy as np

SCALE = 100.0  # testing scales similarities by this constant, not by the trained logit scale
CHUNK = 1 << 24  # similarities held at once


def class_scores(
    video_features: np.ndarray, class_features: np.ndarray, *, average: str = "templates", kind: str = "softmax"
) -> np.ndarray:
    """Unit-norm [N, V, E] of V views and [C, P, E] of P templates -> scores [N, C] float32, the mean over views.

    Args:
        video_features: of the clips.
        class_features: of the classes.
        average: `templates`: the mean of the templates' scores, as the source has it; `embeddings`: the score of the
            mean of the templates' features, made unit-norm.
        kind: `softmax` over the classes, or the `sigmoid` of each class on its own, which orders the clips of a class
            by their similarity alone. Similarities are scaled by SCALE.
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
        logits = SCALE * (part.reshape(-1, width) @ flat).reshape(-1, classes, templates)
        if kind == "softmax":
            part_scores = np.exp(logits - logits.max(axis=1, keepdims=True))
            part_scores /= part_scores.sum(axis=1, keepdims=True)
        else:
            part_scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        scores[start : start + step] = part_scores.mean(axis=2).reshape(-1, views, classes).mean(axis=1)
    return scores
