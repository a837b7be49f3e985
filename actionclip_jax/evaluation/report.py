"""The report of an evaluation: report.json for programs, report.md and pictures for people."""

import dataclasses
import functools
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import test_views as reading
from actionclip_jax.data import video
from actionclip_jax.evaluation import metrics, protocols, published, scoring
from actionclip_jax.inference import predict
from actionclip_jax.plots import charts, sheets

WORST = 12  # clips of the contact sheet
SCORES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class",
    "calibration_error": "ECE",
    "coverage": "answered",
    "answered_top1": "of these right",
    "mean_average_precision": "mAP",
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came out of a trial."""

    name: str
    scores: scoring.Scores
    unseen: scoring.Scores | None  # without the classes seen in training


def numbers(scores: scoring.Scores, threshold: float | None = None) -> dict[str, float]:
    """All scores of a trial."""
    found, probabilities, targets = dict(scores.metrics), scores.probabilities, scores.targets
    if not scores.scored or targets.ndim == 2:
        return found
    found["mean_class_accuracy"] = metrics.nan_mean(metrics.class_accuracies(probabilities, targets))
    found["calibration_error"] = metrics.calibration_error(probabilities, targets)
    if threshold is not None:
        answered = probabilities.max(axis=1) >= threshold
        found["coverage"] = float(answered.mean())
        if answered.any():
            found["answered_top1"] = metrics.top_k(probabilities[answered], targets[answered], 1)
    return found


def by_class(scores: scoring.Scores) -> np.ndarray:
    """Accuracy, or with several labels average precision, of each class [C]; NaN for a class without clips."""
    if scores.targets.ndim == 2:
        return metrics.average_precisions(scores.probabilities, scores.targets)
    return metrics.class_accuracies(scores.probabilities, scores.targets)


def describe(measured: Measured, threshold: float | None) -> dict[str, Any]:
    """A trial as JSON."""
    scores, labels = measured.scores, measured.scores.labels
    values = by_class(scores)
    described = {
        "name": measured.name,
        "clips": scores.clip_count,
        "scored": scores.scored,
        "undecodable": scores.clip_count - scores.scored,
        "classes": len(labels),
        "classes_without_clips": int(np.isnan(values).sum()),
        "chance": 1 / len(labels),
        "scores": numbers(scores, threshold),
        "per_class": {label: None if math.isnan(x) else float(x) for label, x in zip(labels, values, strict=True)},
    }
    if scores.targets.ndim == 1:
        pairs = metrics.confused_pairs(scores.probabilities, scores.targets)
        described["confused"] = [{"true": labels[a], "taken_for": labels[b], "clips": n} for a, b, n in pairs]
    if measured.unseen:
        unseen = measured.unseen
        described["without_seen_classes"] = {
            **{"clips": unseen.clip_count, "scored": unseen.scored, "classes": len(unseen.labels)},
            "scores": numbers(unseen, threshold),
        }
    return described


def write(
    out: pathlib.Path,
    described: dict[str, Any],
    trials: Sequence[protocols.Trial],
    measured: Sequence[Measured],
    settings: config.EvaluationConfig,
    seconds: float,
) -> dict[str, Any]:
    """Writes report.json, report.md and the pictures; returns what report.json holds."""
    out.mkdir(parents=True, exist_ok=True)
    found = [describe(one, settings.threshold) for one in measured]
    data_set = published.known_set(described["data"]["kind"], len(trials[0].clips.labels))
    content = {
        **described,
        "trials": found,
        "summary": metrics.mean_and_deviation([trial["scores"] for trial in found]),
        "published": [dataclasses.asdict(row) for row in published.beside(settings.protocol, data_set)],
        "pictures": draw_pictures(out, trials[0], measured[0], settings),
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
    }
    if len(found) == 1:
        del content["summary"]
    (out / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "report.md").write_text(as_markdown(content), encoding="utf-8")
    return content


def draw_pictures(
    out: pathlib.Path, trial: protocols.Trial, measured: Measured, settings: config.EvaluationConfig
) -> list[str]:
    """Pictures of the first trial; returns their names."""
    scores, names = measured.scores, ["classes.png"]
    if not scores.scored:
        return []
    what = "average precision" if scores.targets.ndim == 2 else "accuracy"
    charts.class_bars(out / "classes.png", scores.labels, by_class(scores), f"{what} of each class, {measured.name}")
    if scores.targets.ndim == 2:
        return names
    charts.confusion_matrix(out / "confusion.png", scores.labels, scores.targets, scores.probabilities.argmax(axis=1))
    curve = metrics.coverage_curve(scores.probabilities, scores.targets)
    charts.coverage_curve(out / "coverage.png", *curve, settings.threshold)
    names += ["confusion.png", "coverage.png"]
    if worst := worst_clips(trial, scores, settings):
        names += [page.name for page in sheets.prediction_sheets(out / "worst.png", worst, top=5)]
    return names


def worst_clips(
    trial: protocols.Trial, scores: scoring.Scores, settings: config.EvaluationConfig
) -> list[predict.Prediction]:
    """The clips whose own label was least probable, the worst first, decoded once more."""
    own = scores.probabilities[np.arange(scores.scored), scores.targets]
    wrong = scores.probabilities.argmax(axis=1) != scores.targets
    worst = [index for index in np.argsort(own, kind="stable") if wrong[index]][:WORST]
    found = []
    for index in worst:
        clip = trial.clips[int(scores.rows[index])]
        read = functools.partial(trial.clips.reader.read, clip)
        try:
            seen = reading.read_clips(read, size=128, frames=8, views=(1, 1))
        except (video.VideoError, OSError):  # saved features do not need the files any more
            continue
        title = f"{clip.id}: is {scores.labels[scores.targets[index]]}, given {own[index]:.1%}"
        found.append(
            predict.Prediction(
                title,
                scores.labels,
                scores.probabilities[index],
                seen.indices,
                seen.timestamps,
                seen.note,
                seen.clips[0],
            )
        )
    return found


def as_markdown(content: dict[str, Any]) -> str:
    """The report for people."""
    model, data, settings, trials = (content[name] for name in ("model", "data", "settings", "trials"))
    columns = [name for name in SCORES if any(name in trial["scores"] for trial in trials)]
    lines = [
        f"# {settings['protocol']}: {model['source']} on {data['path']}",
        "",
        f"{settings['about'][0].upper()}{settings['about'][1:]}.",
        "",
        *score_table(content, columns),
    ]
    if any("without_seen_classes" in trial for trial in trials):
        rows = [
            {**trial["without_seen_classes"], "name": trial["name"]}
            for trial in trials
            if "without_seen_classes" in trial
        ]
        lines += ["", f"Without clips and classes named in {settings['seen_classes']}:", "", *rows_table(rows, columns)]
    lines += published_table(content)
    lines += ["", "## What was done", "", "| | |", "|---|---|"]
    for name, value in what_was_done(content).items():
        lines.append(f"| {name} | {value} |")
    confused = trials[0].get("confused", ())
    if confused:
        lines += [
            "",
            f"## Most frequent mistakes, {trials[0]['name']}",
            "",
            "| true | taken for | clips |",
            "|---|---|---|",
        ]
        lines += [f"| {row['true']} | {row['taken_for']} | {row['clips']} |" for row in confused[:10]]
    lines += ["", *(f"![{name}]({name})" for name in content["pictures"]), ""]
    return "\n".join(lines)


def score_table(content: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """A row for each trial and, if there are several, one for their mean and deviation."""
    lines = rows_table(content["trials"], columns)
    if summary := content.get("summary"):
        cells = [f"**{x['mean']:.2%} ± {x['deviation']:.2%}**" if (x := summary.get(name)) else "" for name in columns]
        lines.append(f"| mean ± deviation | | | | {' | '.join(cells)} |")
    return lines


def rows_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """Trials in a table."""
    lines = [
        f"| | classes | clips | scored | {' | '.join(SCORES[name] for name in columns)} |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for row in rows:
        cells = [f"{row['scores'][name]:.2%}" if name in row["scores"] else "" for name in columns]
        lines.append(f"| {row['name']} | {row['classes']} | {row['clips']} | {row['scored']} | {' | '.join(cells)} |")
    return lines


def published_table(content: dict[str, Any]) -> list[str]:
    """What papers report for this data set and protocol."""
    if not content["published"]:
        return ["", "No published numbers are known for this data set and protocol."]
    lines = [
        "",
        "## Published",
        "",
        "ViT-B/16; compare what was done as well.",
        "",
        "| method | % | |",
        "|---|---|---|",
    ]
    for row in content["published"]:
        deviation = "" if row["deviation"] is None else f" ± {row['deviation']}"
        lines.append(f"| {row['method']} | {row['value']}{deviation} | {row['note']} |")
    return lines


def what_was_done(content: dict[str, Any]) -> dict[str, Any]:
    """Everything a number may silently depend on, by its name."""
    model, data, settings = content["model"], content["data"], content["settings"]
    undecodable = sum(trial["undecodable"] for trial in content["trials"])
    weights = f"weights SHA-256 `{model['weights_sha256'][:16]}`"
    return {
        "model": f"{model['size']}, temporal head {model['temporal_head']}, {weights}",
        "lists": ", ".join(f"{pathlib.Path(file).name} `{digest[:16]}`" for file, digest in data["files"].items())
        or f"{data['kind']}, clips `{data['clip_ids_sha256'][:16]}`",
        "clips of the list whose file is missing": data["missing"],
        "clips that cannot be decoded, over all trials": undecodable,
        "clips with notes (truncated, damaged ...)": data.get("noted", 0),
        "frames, views": f"{settings['frames']}, {settings['views']}",
        "templates": f"{settings['templates']} ({len(settings['template_texts'])})",
        "class names split into words": "yes" if settings["split_names"] else "no",
        "averaged over templates": "probabilities" if settings["prob_average"] == "templates" else "embeddings",
        "scores": f"{settings['scores']} of {settings['scale']:g} x similarity, averaged over views",
        "dtype": settings["dtype"],
        "devices, seconds": f"{content['devices']}; {content['seconds']}",
        "program": f"{content['program']}, {content['date']}",
    }
