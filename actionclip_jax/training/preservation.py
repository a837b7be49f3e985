"""Which checkpoints of a run stay."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actionclip_jax import config


class HasStep(Protocol):
    """A checkpoint, as Orbax describes it."""

    @property
    def step(self) -> int:
        """The step it was saved after."""
        ...


class KeepNewestAndBest:
    """The newest checkpoints and those with the best scores, for Orbax."""

    def __init__(self, settings: config.CheckpointConfig, scores: Mapping[int, float]) -> None:
        self.settings, self.scores = settings, scores

    def should_preserve(self, checkpoints: Sequence[HasStep], *, context: Any) -> list[bool]:
        """Whether each of them stays."""
        steps = sorted(point.step for point in checkpoints)
        best = best_first(steps, self.scores)[: self.settings.keep_best]
        return [point.step in (*steps[-self.settings.keep_last :], *best) for point in checkpoints]


def best_first(steps: Sequence[int], scores: Mapping[int, float]) -> list[int]:
    """The steps that have a score, the best first, the newest of equals first."""
    return sorted((step for step in steps if step in scores), key=lambda step: (scores[step], step), reverse=True)
