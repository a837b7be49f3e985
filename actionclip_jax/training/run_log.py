"""What a run leaves behind: metrics.jsonl, TensorBoard scalars and, if wanted, a run of Weights & Biases."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorboardX

from actionclip_jax import config, files
from actionclip_jax.training import wandb_run

FILE = "metrics.jsonl"  # in the workdir


class RunLog:
    """Rows of numbers by step, in WORKDIR/metrics.jsonl and for viewers. Only the first process writes."""

    def __init__(self, workdir: pathlib.Path, run: config.TrainConfig, start: int, writes: bool) -> None:
        """Rows behind step `start`, of a run that went on beyond its last checkpoint, are forgotten."""
        self._file = workdir / FILE
        self._board: Any = None
        self._wandb: wandb_run.WandbRun | None = None
        if not writes:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_rows(self._file) if row["step"] <= start] if start else []
        files.write_text(self._file, "".join(f"{json.dumps(row)}\n" for row in kept))
        self._board = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
        if run.wandb:
            self._wandb = wandb_run.WandbRun(workdir, run)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds a row; numbers in nested objects become scalars like `evaluation/test/top1`."""
        if self._board is None:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        numbers = dict(scalars(values))
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)
        self._board.flush()
        if self._wandb is not None:
            self._wandb.write(step, numbers)

    def close(self) -> None:
        """Ends the files."""
        for viewer in (self._board, self._wandb):
            if viewer is not None:
                viewer.close()


def scalars(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """(name, number) of all numbers in nested objects."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def read_rows(file: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that a kill cut short is left out."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def primary_metrics(rows: list[dict[str, Any]]) -> dict[int, float]:
    """The metric by step that says how good the weights were, of all evaluations: the first one in the row."""
    evaluations = {row["step"]: row["evaluation"] for row in rows if row.get("evaluation")}
    return {step: next(iter(next(iter(values.values())).values())) for step, values in evaluations.items()}
