"""What a fine-tuning changed: the accuracy of every class before and after, and what can be done next."""

import pathlib
import shlex
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from actionclip_jax import config, files
from actionclip_jax.evaluation import intervals, report_markdown
from actionclip_jax.experiments.finetuning import dividing, look, planning

LISTED = 30  # classes in the table

Content = Mapping[str, Any]


def write(
    out: pathlib.Path,
    request: config.FinetuneConfig,
    run: config.TrainConfig,
    before: Content | None,
    after: Content | None,
) -> dict[str, Any]:
    """Writes DIR/report.json and DIR/report.md; returns what report.json holds."""
    content = {
        "program": f"actionclip-jax {metadata.version('actionclip-jax')}",
        "model": request.model,
        "from_scratch": request.from_scratch,
        "data": request.data.path,
        "training_clips": run.data.expect.clips,
        "before": before and before["trials"][0],
        "after": after and after["trials"][0],
        "config": config.to_dict(run),
    }
    files.write_json(out / "report.json", content)
    files.write_text(out / "report.md", "\n".join(as_markdown(out, content)) + "\n")
    return content


def as_markdown(out: pathlib.Path, content: Content) -> Iterator[str]:
    """The lines of report.md."""
    start = "random weights with the architecture of " if content["from_scratch"] else ""
    yield f"# {start}{content['model']}, fine-tuned on {content['data']}"
    yield ""
    if content["after"]:
        yield from describe_scores(content["before"], content["after"], content["training_clips"])
    else:
        yield f"Trained with {content['training_clips']} clips. None were held out, so there is no accuracy to report."
    yield ""
    optim, batch_size = content["config"]["optim"], content["config"]["data"]["loader"]["batch_size"]
    yield (
        f"Learning rate {optim['lr']:g}, batches of {batch_size} clips, {optim['epochs']:g} epochs, seed "
        f"{content['config']['seed']}. {planning.CONFIG} has every setting that differs from the defaults."
    )
    yield ""
    yield f"![training](curves.png) ![what training saw]({look.SHEET})"
    yield ""
    yield "## Next"
    yield ""
    yield from report_markdown.table(["to", "command"], ((what, f"`{line}`") for what, line in next_commands(out)))


def describe_scores(before: Content | None, after: Content, training_clips: int) -> Iterator[str]:
    """The scores, a row each; of every class its accuracy or, where clips have several labels, average precision."""
    yield (
        f"Trained with {training_clips} clips, measured on {after['scored']} held-out ones of "
        f"{after['classes'] - after['classes_without_clips']} classes."
    )
    yield ""
    known = [name for name, value in after["per_class"].items() if value is not None]
    if len(known) > LISTED:
        known = sorted(known, key=lambda name: after["per_class"][name])[:LISTED]
        yield f"Of the classes the table has the {LISTED} lowest after training; report.json has all."
        yield ""
    rows = [(title, "scores", name) for name, title in report_markdown.TITLES.items() if name in after["scores"]]
    rows += [(name, "per_class", name) for name in known]
    cells = [(title, score_of(before, part, name), score_of(after, part, name)) for title, part, name in rows]
    chance = report_markdown.percentage(after["chance"])
    cells.insert(1, ("by chance", chance, chance))
    yield from report_markdown.table(["", "before", "after"], cells)
    yield ""
    where = "[before](before/report.md) and [after](after/report.md)" if before else "[after](after/report.md)"
    yield f"The evaluations {where} say what the numbers depend on."
    yield ""
    yield intervals.ABOUT


def score_of(trial: Content | None, part: str, name: str) -> str:
    """`71.24% (69.8 to 72.6)` of the trial's `scores` or `per_class`, or nothing for what is not known."""
    ranges = {"scores": "intervals", "per_class": "intervals_per_class"}[part]
    return report_markdown.percentage(trial[part].get(name), trial[ranges].get(name)) if trial else ""


def next_commands(out: pathlib.Path) -> list[tuple[str, str]]:
    """What the new model can be used for, and the command."""
    model, labels = str(out / "model"), str(out / dividing.CLASSES)
    commands = {
        "predict": ["predict", model, "VIDEO", "--labels-file", labels],
        "find out what happens when in a long video": [
            "predict",
            model,
            "VIDEO",
            "--labels-file",
            labels,
            "--timeline",
        ],
        "measure on other clips": ["evaluate", model, "--data", "SOURCE", "--labels", labels],
        "go on, or train again with other settings": ["train", "--config", str(out / planning.CONFIG)],
    }
    return [(what, f"actionclip {shlex.join(command)}") for what, command in commands.items()]
