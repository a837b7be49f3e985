"""The state of a run on disk: everything needed to go on as if nothing had happened, in one atomic Orbax checkpoint."""

import json
import pathlib
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from actionclip_jax import config, config_file, run_config, training

SCORE = "score"  # the metric the best checkpoint is kept by


class RunCheckpoints:
    """WORKDIR/checkpoints/STEP: the training state, and beside it the data position, configuration and best score.

    Writing goes on in the background while training does.
    """

    def __init__(self, workdir: pathlib.Path, settings: run_config.CheckpointConfig) -> None:
        self.directory = workdir.expanduser().absolute() / "checkpoints"
        policies = ocp.training.preservation_policies
        keep = [policies.LatestN(settings.keep_last)]
        if settings.keep_best:
            by_score = {"get_metric_fn": lambda metrics: metrics[SCORE], "keep_checkpoints_without_metrics": False}
            keep.append(policies.BestN(n=settings.keep_best, **by_score))
        self._checkpointer = ocp.training.Checkpointer(
            self.directory,
            # this program says when to save
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=True,
        )

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    @property
    def best(self) -> int | None:
        """The step of the checkpoint with the greatest score, the newest of equals."""
        scored = [(point.metrics[SCORE], point.step) for point in self._checkpointer.checkpoints if point.metrics]
        return max(scored)[1] if scored else None

    def save(self, step: int, state: training.TrainState, described: dict[str, Any], score: float | None) -> None:
        """Starts to write; `described` is JSON. Waits only for the checkpoint before."""
        metrics = None if score is None else {SCORE: score}
        self._checkpointer.save_checkpointables_async(
            step, {"state": state}, force=True, metrics=metrics, custom_metadata=described
        )

    def restore(self, step: int, like: training.TrainState) -> training.TrainState:
        """The state of a checkpoint, spread over the devices as the one given."""
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        return self._checkpointer.load_checkpointables(step, {"state": abstract})["state"]

    def describe(self, step: int) -> dict[str, Any]:
        """What was saved beside the state."""
        return self._checkpointer.checkpointables_metadata(step).custom_metadata

    def path(self, step: int) -> pathlib.Path:
        """Where a checkpoint is."""
        return self.directory / str(step)

    def close(self) -> None:
        """Waits until everything is written."""
        self._checkpointer.close()


def describe_changes(saved: dict[str, Any], run: run_config.TrainConfig) -> list[str]:
    """How the run differs from the one saved, a line for each setting."""
    now = json.loads(json.dumps(config.to_dict(run)))  # tuples become lists, as in the saved one
    then, now = config_file.flatten(saved), config_file.flatten(now)
    return [f"{name}: {then.get(name)!r} then, {value!r} now" for name, value in now.items() if then.get(name) != value]
