"""What a run leaves behind: metrics.jsonl, TensorBoard scalars, and where its time went."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tensorboardX

BUCKETS = ("start", "compile", "data_wait", "step", "checkpoint", "evaluation")


class Clock:
    """Wall time by what it was spent on. What is in no bucket is `other`."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self.seconds = dict.fromkeys(BUCKETS, 0.0)

    @contextlib.contextmanager
    def measure(self, bucket: str) -> Iterator[None]:
        """Counts the time inside the `with` for a bucket."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(bucket, time.perf_counter() - start)

    def add(self, bucket: str, seconds: float) -> None:
        """Counts seconds measured elsewhere."""
        self.seconds[bucket] += seconds

    def summary(self) -> dict[str, float]:
        """Seconds in each bucket so far, `other` and `total`."""
        total = time.perf_counter() - self._begin
        other = total - sum(self.seconds.values())
        return {name: round(value, 3) for name, value in {**self.seconds, "other": other, "total": total}.items()}


class RunLog:
    """Rows of numbers by step, in WORKDIR/metrics.jsonl and for TensorBoard. Only the first process writes."""

    def __init__(self, workdir: pathlib.Path, start: int, writes: bool) -> None:
        """Rows behind step `start`, of a run that went on beyond its last checkpoint, are forgotten."""
        self._file = workdir / "metrics.jsonl"
        self._board: Any = None
        if not writes:
            return
        workdir.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_rows(self._file) if row["step"] <= start] if start else []
        self._file.write_text("".join(f"{json.dumps(row)}\n" for row in kept), encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds a row; numbers in nested objects become scalars like `evaluation/test/top1`."""
        if self._board is None:
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in scalars(values):
            self._board.add_scalar(name, value, step)
        self._board.flush()

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return read_rows(self._file)

    def close(self) -> None:
        """Ends the TensorBoard file."""
        if self._board is not None:
            self._board.close()


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
