"""The table of classes: how many clips each has, how good the model is at it, and what it takes them for."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEADER = ("trial", "class", "clips", "score", "low", "high", "taken_for")
Trial = Mapping[str, Any]  # of report.json
ClassRow = tuple[str, int, float | None, list[float] | None, str]  # class, clips, score, interval, taken for


def rows(trial: Trial) -> Iterator[ClassRow]:
    """The row of each class, in the order of the labels."""
    for label, score in trial["per_class"].items():
        interval, taken_for = trial["intervals_per_class"][label], trial.get("taken_for", {}).get(label, "")
        yield label, trial["clips_per_class"][label], score, interval, taken_for


def as_csv(trials: Sequence[Trial]) -> str:
    """The table of all trials; cells that are not known are empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for trial in trials:
        for label, clips, score, interval, taken_for in rows(trial):
            numbers = [None if number is None else f"{number:.6f}" for number in (score, *(interval or (None, None)))]
            writer.writerow([trial["name"], label, clips, *numbers, taken_for])
    return text.getvalue()


def best_first(trial: Trial) -> list[ClassRow]:
    """The rows as `classes.png` has them; those without a score come last."""
    return sorted(rows(trial), key=lambda row: math.inf if row[2] is None else -row[2])
