"""The numbers of a run in a project of Weights & Biases."""

import importlib.util
import logging
import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config, files

logger = logging.getLogger(__name__)

FILE = "wandb_id.txt"  # in the workdir: a run that goes on is the same run there


def check(run: config.TrainConfig) -> None:
    """Raises ValueError where a project is named and Weights & Biases is not installed."""
    if run.wandb and importlib.util.find_spec("wandb") is None:
        raise ValueError(f"wandb = {run.wandb!r} needs Weights & Biases: pip install 'actionclip-jax[wandb]'")


class WandbRun:
    """One run there, by the name of its workdir, with its settings.

    Without a network, `WANDB_MODE=offline` keeps the numbers in WORKDIR/wandb for `wandb sync`.
    """

    def __init__(self, workdir: pathlib.Path, run: config.TrainConfig) -> None:
        """Starts the run, or goes on with it. Raises ValueError where it cannot, as without an account."""
        import wandb  # takes seconds

        kept = workdir / FILE
        known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else secrets.token_hex(8)
        files.write_text(kept, f"{known}\n")
        settings = wandb.Settings(silent=True, console="off")
        try:
            self._run = wandb.init(
                project=run.wandb,
                id=known,
                resume="allow",
                name=workdir.name,
                dir=str(workdir),
                config=config.to_dict(run),
                settings=settings,
            )
        except wandb.errors.Error as error:
            raise ValueError(
                f"wandb = {run.wandb!r}: {error}. `wandb login` names an account; WANDB_MODE=offline needs none"
            ) from None
        # a run that goes on from a checkpoint writes some steps once more, which the package's own counter forbids
        self._run.define_metric("*", step_metric="step")
        logger.info(f"Weights & Biases: {self._run.url or self._run.dir}")

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds numbers of a step."""
        self._run.log({"step": step, **values})

    def close(self) -> None:
        """Ends the run, once all is sent."""
        self._run.finish()
