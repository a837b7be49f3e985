"""Scores of a test: probabilities of the classes, and how good they are. On the host, in numpy."""

import numpy as np
import sklearn.metrics

SCALE = 100.0  # testing scales similarities by this constant, not by the trained logit scale


def class_probabilities(video_features: np.ndarray, class_features: np.ndarray) -> np.ndarray:
    """Unit-norm [B, E] and [C, P, E] -> [B, C]: softmax over classes for each template, then their mean."""
    scores = SCALE * np.einsum("be,cpe->bcp", video_features, class_features)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (scores / scores.sum(axis=1, keepdims=True)).mean(axis=2)


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows [N, C] whose label [N] is among the k most probable classes; of equal ones the first counts."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that occur of the average precision of scores [N, C] for targets [N, C] of ones and zeros.

    Computed once over all clips, as Charades asks; classes without a single positive have none.
    """
    present = targets.any(axis=0)
    return float(sklearn.metrics.average_precision_score(targets[:, present], scores[:, present], average="macro"))
