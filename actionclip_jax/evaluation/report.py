"""The report of an evaluation: report.json for programs, report.md and pictures for people."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from actionclip_jax import config, files
from actionclip_jax.evaluation import (
    class_table,
    intervals,
    metrics,
    pictures,
    protocols,
    published,
    report_markdown,
    scoring,
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came out of a trial."""

    name: str
    scores: scoring.Scores
    unseen: scoring.Scores | None  # without the classes seen in training


def describe(measured: Measured, threshold: float | None) -> dict[str, Any]:
    """A trial as JSON."""
    scores, labels = measured.scores, measured.scores.labels
    values, found = scores.by_class(), intervals.measure(scores, threshold)
    chance = scores.by_chance()
    described = {
        "name": measured.name,
        "clips": scores.clip_count,
        "scored": scores.scored,
        "undecodable": scores.clip_count - scores.scored,
        "classes": len(labels),
        "classes_without_clips": int(np.isnan(values).sum()),
        "chance": next(iter(chance.values())),
        "by_chance": chance,
        "scores": scores.all_metrics(threshold),
        "intervals": found.scores,
        "per_class": {label: None if math.isnan(x) else float(x) for label, x in zip(labels, values, strict=True)},
        "clips_per_class": dict(zip(labels, scores.clips_by_class().tolist(), strict=True)),
        "intervals_per_class": dict(zip(labels, found.classes, strict=True)),
    }
    if scores.targets.ndim == 1:
        pairs = metrics.confused_pairs(scores.probabilities, scores.targets)
        described["confused"] = [{"true": labels[a], "taken_for": labels[b], "clips": n} for a, b, n in pairs[:20]]
        described["taken_for"] = {labels[a]: labels[b] for a, b, _ in reversed(pairs)}  # the most frequent comes last
    if measured.unseen:
        unseen = measured.unseen
        described["without_seen_classes"] = {
            **{"clips": unseen.clip_count, "scored": unseen.scored, "classes": len(unseen.labels)},
            "by_chance": unseen.by_chance(),
            "scores": unseen.all_metrics(threshold),
            "intervals": intervals.measure(unseen, threshold).scores,
        }
    return described


def write(
    out: pathlib.Path,
    described: dict[str, Any],
    trials: Sequence[protocols.Trial],
    measured: Sequence[Measured],
    settings: config.EvaluationConfig,
    sample: config.SampleConfig,
    seconds: float,
) -> dict[str, Any]:
    """Writes report.json, report.md, classes.csv and the pictures; returns what report.json holds."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [describe(one, settings.threshold) for one in measured]
    data_set = published.known_set(described["data"]["kind"], len(trials[0].clips.labels))
    content = {
        **described,
        "trials": rows,
        "summary": metrics.mean_and_deviation([trial["scores"] for trial in rows]),
        "published": [dataclasses.asdict(row) for row in published.beside(settings.protocol, data_set)],
        "pictures": pictures.draw_pictures(out, trials[0], measured[0].scores, settings.threshold, sample),
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
    }
    if len(rows) == 1:
        del content["summary"]
    files.write_json(out / "report.json", content)
    files.write_text(out / "report.md", report_markdown.as_markdown(content))
    files.write_text(out / "classes.csv", class_table.as_csv(rows))
    return content
