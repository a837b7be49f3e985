"""What a run tells people and leaves behind while it goes on: rows of numbers, warnings, and where the time went."""

import logging
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from actionclip_jax import progress
from actionclip_jax.evaluation import scoring
from actionclip_jax.training import goodput, loss_spikes, one_class, run_log, setup, window

logger = logging.getLogger(__name__)


class Journal:
    """Keeps account of one run. Only the first process writes."""

    def __init__(self, work: setup.Setup, clock: goodput.Clock, done: int) -> None:
        """`done`: steps before this start."""
        self._log = run_log.RunLog(work.workdir, work.run, done, writes=jax.process_index() == 0)
        self._work, self._clock = work, clock
        self._spikes, self._one_class = loss_spikes.LossSpikes(), one_class.OneClassBatches()
        self._progress = progress.Progress("training", work.spec.steps)
        self._progress.move_to(done)  # compiling and the first steps may take long

    def batch(self, batch: Mapping[str, np.ndarray]) -> None:
        """A batch has come, of which these are this host's rows."""
        self._one_class.add(batch["label"])

    def steps(self, done: int, metrics: Sequence[window.StepMetrics], seconds: float) -> None:
        """Logs the steps since the last row, of which `done` is the last."""
        for number, values in enumerate(metrics, done - len(metrics) + 1):
            if warning := self._spikes.add(number, float(values["loss"])):
                logger.warning(warning)
        row = {
            **summarize(self._work, done, metrics, seconds),
            "loss_spikes": self._spikes.count,
            "one_class_batches": self._one_class.total(done),
        }
        self._log.write(done, {**row, "seconds": self._clock.summary()})
        goodput.write(self._work.workdir, self._clock)
        self._progress.move_to(done, f"loss {row['loss']:.3f}, {row['clips_per_second']:.3g} clips/s")

    def evaluation(self, step: int, scores: Mapping[str, scoring.Scores]) -> None:
        """Logs the scores of the weights of a step, by data set."""
        values = {name: one.summary() for name, one in scores.items()}
        self._log.write(step, {"evaluation": values, "epoch": self._work.epochs(step)})

    def close(self) -> None:
        """Ends the files."""
        self._log.close()


def summarize(work: setup.Setup, done: int, metrics: Sequence[window.StepMetrics], seconds: float) -> dict[str, float]:
    """The numbers of some steps: losses, accuracies and other `group/name` are means, the rest the last values."""
    values = {name: float(value) for name, value in metrics[-1].items()}
    for name in values:
        if name in ("loss", "gradient_norm") or "/" in name:
            values[name] = float(np.mean([step[name] for step in metrics]))
    for part, multiplier in work.spec.parts().items():
        values[f"learning_rate/{part}"] = values["learning_rate"] * multiplier
    speed = len(metrics) * work.run.data.loader.batch_size / seconds
    return {
        **values,
        "epoch": work.epochs(done),
        "clips_per_second": speed,
        "model_flop_utilisation": speed * work.clip_flops / work.flop_rate,
    }
