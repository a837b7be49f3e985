"""The report of an evaluation as people read it."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from actionclip_jax.evaluation import class_table, intervals, pictures

TITLES = {  # of the columns, by the metric's name in report.json
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class",
    "calibration_error": "ECE",
    "coverage": "answered",
    "answered_top1": "of these right",
    "mean_average_precision": "mAP",
}


def as_markdown(content: Mapping[str, Any]) -> str:
    """What report.json holds -> report.md."""
    settings, trials = content["settings"], content["trials"]
    columns = metric_names(trials)
    lines = [
        f"# {settings['protocol']}: {content['model']['source']} on {content['data']['path']}",
        "",
        f"{settings['about'][0].upper()}{settings['about'][1:]}.",
        "",
        *score_table(trials, columns, content.get("summary", {})),
    ]
    unseen = [
        {**trial["without_seen_classes"], "name": trial["name"]} for trial in trials if "without_seen_classes" in trial
    ]
    if unseen:
        lines += ["", f"Without clips and classes named in {settings['seen_classes']}:", ""]
        lines += score_table(unseen, columns, {})
    lines += ["", intervals.ABOUT]
    lines += published_table(content["published"])
    lines += ["", "## What was done", "", *table(["", ""], what_was_done(content).items())]
    if confused := trials[0].get("confused"):
        mistakes = [(row["true"], row["taken_for"], row["clips"]) for row in confused[:10]]
        lines += ["", f"## Most frequent mistakes, {trials[0]['name']}", ""]
        lines += table(["true", "taken for", "clips"], mistakes)
    lines += picture_lines(content["pictures"], trials[0]["name"])
    lines += class_lines(trials[0])
    return "\n".join(lines)


def picture_lines(names: Sequence[str], trial: str) -> list[str]:
    """The pictures, each below what it shows."""
    if not names:
        return []
    lines = ["", f"## Pictures, {trial}"]
    for name in names:
        caption = next(text for start, text in pictures.CAPTIONS.items() if name.startswith(start))
        lines += ["", f"{caption}:", "", f"![{caption}]({name})"]
    return lines


def class_lines(trial: Mapping[str, Any]) -> list[str]:
    """How good the model is at each class, the best first."""
    one_label = "taken_for" in trial
    metric = "accuracy" if one_label else "average precision"
    rows = []
    for label, clips, score, interval, taken_for in class_table.best_first(trial):
        last = taken_for if one_label else percentage(clips / trial["scored"] if clips else None)
        rows.append((label, clips, percentage(score, interval), last))
    header = ["class", "clips", metric, "most often taken for" if one_label else "by chance"]
    note = "`classes.csv` has the classes of all trials, in the order of the labels."
    return ["", f"## Classes, {trial['name']}", "", *table(header, rows), "", note, ""]


def metric_names(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """The metrics that any of the trials has, in the order of the columns."""
    return [name for name in TITLES if any(name in trial["scores"] for trial in trials)]


def percentages(trial: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """A cell for each metric with its interval, empty where the trial has it not."""
    scores, found = trial["scores"], trial["intervals"]
    return [percentage(scores[name], found[name]) if name in scores else "" for name in columns]


def percentage(score: float | None, interval: Sequence[float] | None = None) -> str:
    """`71.24% (69.8 to 72.6)`."""
    if score is None:
        return ""
    return f"{score:.2%}" + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table; cells are written as `str` has them, but for bars, which would end a cell."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines]


def spread(numbers: Mapping[str, float]) -> str:
    """`71.24% ± 0.31%` of a mean of 0.7124 and a deviation of 0.0031."""
    return f"{numbers['mean']:.2%} ± {numbers['deviation']:.2%}"


def score_table(
    trials: Sequence[Mapping[str, Any]], columns: Sequence[str], summary: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """A row for each trial, one for chance and, if there is a summary of several, one for their mean and deviation."""
    rows = [
        [trial["name"], trial["classes"], trial["clips"], trial["scored"], *percentages(trial, columns)]
        for trial in trials
    ]
    rows += [[name, "", "", "", *cells] for name, cells in chance_rows(trials, columns)]
    if summary:
        cells = [f"**{spread(x)}**" if (x := summary.get(name)) else "" for name in columns]
        rows.append(["mean ± deviation", "", "", "", *cells])
    return table(["", "classes", "clips", "scored", *(TITLES[name] for name in columns)], rows)


def chance_rows(trials: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(name, cells) of what answers drawn at random would score; one row where that is the same in all trials."""
    levels: dict[tuple[str, ...], str] = {}
    for trial in trials:
        cells = tuple(percentage(trial["by_chance"].get(name)) for name in columns)
        levels.setdefault(cells, trial["name"])
    return [(f"by chance, {name}" if len(levels) > 1 else "by chance", list(cells)) for cells, name in levels.items()]


def published_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What papers report for this data set and protocol."""
    if not rows:
        return ["", "No published numbers are known for this data set and protocol."]
    lines = table(["method", "%", ""], [(row["method"], published_value(row), row["note"]) for row in rows])
    return ["", "## Published", "", "ViT-B/16; compare what was done as well.", "", *lines]


def published_value(row: Mapping[str, Any]) -> str:
    """A published number in percent, with its deviation where that is known."""
    return f"{row['value']}" if row["deviation"] is None else f"{row['value']} ± {row['deviation']}"


def what_was_done(content: Mapping[str, Any]) -> dict[str, Any]:
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
        "scores": f"{settings['scores']} of {describe_scaling(settings)}, averaged over views",
        "dtype": settings["dtype"],
        "devices, seconds": f"{content['devices']}; {content['seconds']}",
        "program": f"{content['program']}, {content['date']}",
    }


def describe_scaling(settings: Mapping[str, Any]) -> str:
    """`100 x similarity`, or `117.3 x similarity - 12.9` where a bias changes what comes out."""
    bias = settings["bias"] if settings["scores"] == "sigmoid" else 0.0
    shift = f" {'-' if bias < 0 else '+'} {abs(bias):g}" if bias else ""
    return f"{settings['scale']:g} x similarity{shift}"
