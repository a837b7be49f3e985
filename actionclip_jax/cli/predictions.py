"""What `actionclip predict` prints and writes of its results."""

import argparse
import json
import pathlib
import sys
import typing
from collections.abc import Sequence
from typing import Any

import rich.cells

from actionclip_jax.cli import tables, terminal, timelines

if typing.TYPE_CHECKING:
    from actionclip_jax.data import video
    from actionclip_jax.inference import prediction, timeline

    Result = prediction.Prediction | timeline.Timeline | video.VideoError

TOP = 5  # labels shown


def show(result: "Result", top: int | None, *, quiet: bool) -> None:
    """Prints what is said of one video, unless quiet, or why it cannot be used."""
    from actionclip_jax.inference import timeline

    if isinstance(result, ValueError):
        terminal.tell(f"[bold red]failed:[/] {terminal.escape(result)}")
        return
    if result.note:
        terminal.tell(f"[yellow]note:[/] {terminal.escape(result.path)}: {terminal.escape(result.note)}")
    if quiet:
        return
    terminal.CONSOLE.print(terminal.escape(result.path), style="bold")
    terminal.print_remark(result.remark)
    if isinstance(result, timeline.Timeline):
        timelines.print_segments(result)
    else:
        print_ranked(result.top(top or TOP))


def print_ranked(ranked: Sequence[tuple[str, float]]) -> None:
    """A line for each label, with its probability as a bar."""
    width = max(rich.cells.cell_len(terminal.visible(label)) for label, _ in ranked)
    for label, probability in ranked:
        terminal.CONSOLE.print(f"  {terminal.bar(label, width, probability)}")


def report(options: argparse.Namespace, frames: int, asked: Sequence[str], results: Sequence["Result"]) -> int:
    """Writes the JSON, the table and the sheet, sums up failures, and returns the exit code."""
    good = [result for result in results if not isinstance(result, ValueError)]
    if options.json:
        write_json(options, frames, asked, results)
    if options.csv:
        write_output(options.csv, tables.as_csv(results, asked, segments=options.timeline, absolute=options.absolute))
    if options.sheet and good:
        draw_sheets(options, good)
    if len(good) < len(results):
        terminal.tell(f"[bold red]{len(results) - len(good)} of {len(results)} videos could not be used[/]")
        return terminal.EXIT_FAILED if good else terminal.EXIT_USAGE
    return 0


def write_json(options: argparse.Namespace, frames: int, asked: Sequence[str], results: Sequence["Result"]) -> None:
    """All probabilities and what they depend on, to a file or to stdout."""
    from actionclip_jax.data import class_names as labels

    content = {
        "model": options.model,
        "frames": frames,
        **(timelines.settings(options) if options.timeline else {"views": list(options.views)}),
        "templates": options.templates,
        "dtype": options.dtype,
        "labels": list(asked),
        "texts": list(labels.as_texts(asked, options.split_names)),
        "results": [as_json(result) for result in results],
    }
    write_output(options.json, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_output(path: pathlib.Path, content: str) -> None:
    """Writes a file and says so, or writes to stdout where the path is `-`."""
    if str(path) == "-":
        sys.stdout.write(content)
    else:
        path.write_text(content, encoding="utf-8")
        terminal.say(f"wrote {path}")


def draw_sheets(options: argparse.Namespace, results: "Sequence[prediction.Prediction | timeline.Timeline]") -> None:
    """The pictures."""
    from actionclip_jax.inference import prediction, timeline
    from actionclip_jax.plots import sheets
    from actionclip_jax.plots import timelines as timeline_plots

    followed = [result for result in results if isinstance(result, timeline.Timeline)]
    predicted = [result for result in results if isinstance(result, prediction.Prediction)]
    pages = timeline_plots.timeline_sheets(options.sheet, followed, options.top or timelines.TOP)
    pages += sheets.prediction_sheets(options.sheet, predicted, options.top or TOP, options.views)
    for page in pages:
        terminal.say(f"wrote {page}")


def as_json(result: "Result") -> dict[str, Any]:
    """A prediction, a timeline or an error as JSON."""
    from actionclip_jax.inference import prediction, timeline

    if isinstance(result, timeline.Timeline):
        return timelines.as_json(result)
    if isinstance(result, prediction.Prediction):
        return result.to_dict()
    return {"video": result.path, "error": result.reason}
