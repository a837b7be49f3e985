"""Where a run stands, and how it gets there when it starts again."""

import dataclasses
import logging

from actionclip_jax import config
from actionclip_jax.evaluation import scoring
from actionclip_jax.training import goodput, run_checkpoints, run_log, setup, train_step

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Position:
    """Where a run stands; the loop moves it on."""

    state: train_step.TrainState
    done: int = 0  # steps
    scores: dict[str, scoring.Scores] = dataclasses.field(default_factory=dict)  # of the evaluation before, by data set


def resume(
    work: setup.Setup, checkpoints: run_checkpoints.RunCheckpoints, position: Position, clock: goodput.Clock
) -> None:
    """Goes to the newest unharmed checkpoint, if there is one, and with it the data, the clock and the scores.

    The memory of the first state is freed before: there never need be room for two. Raises ValueError for a checkpoint
    of another run, or if all of them are damaged.
    """
    last = goodput.read(work.workdir)
    restored = None
    if checkpoints.exist():
        like = train_step.release(position.state)
        restored = checkpoints.restore_newest(like, lambda description: check_same_run(description, work))
    clock.go_on(restored[2]["time"] if restored else None, last)
    if restored is None:
        return
    position.done, position.state, description = restored
    work.batches.restore(description["data"])
    scores = run_log.primary_metrics(run_log.read_rows(work.workdir / run_log.FILE))
    checkpoints.scores.update((step, score) for step, score in scores.items() if step <= position.done)
    logger.info(f"goes on from step {position.done} of {work.workdir}")
    if changes := run_checkpoints.describe_changes(description["config"], work.run):
        logger.warning("\n  ".join(["with other settings than before:", *changes]))
    before = description.get("code", {})
    if changed := [name for name, now in config.code_digests(work.run).items() if before.get(name, now) != now]:
        logger.warning(f"the files of these have changed since: {', '.join(changed)}")


def check_same_run(description: run_checkpoints.Description, work: setup.Setup) -> None:
    """Raises ValueError for a checkpoint of another model or of other data."""
    changes = run_checkpoints.describe_changes(description["config"], work.run)
    if models := [line for line in changes if line.startswith("model.")]:
        raise ValueError("\n  ".join([f"{work.workdir} holds a run of another model:", *models]))
    work.batches.check(description["data"])
