"""What of a run is code of the user's own."""

from actionclip_jax import entry_points
from actionclip_jax.config.train import TrainConfig


def code_digests(run: TrainConfig) -> dict[str, str]:
    """Digests of the files of the user's own code that decides what a step computes, by its name in the settings."""
    names = (run.model.temporal.head, run.objective.loss, run.objective.templates)
    return {name: entry_points.digest(name) for name in names if entry_points.is_name(name)}
