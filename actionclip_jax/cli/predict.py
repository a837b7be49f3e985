"""`actionclip predict`."""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import rich.cells

from actionclip_jax import config
from actionclip_jax.cli import checkpoints, terminal


def add(commands: Any) -> None:
    """actionclip predict MODEL VIDEO... --labels ..."""
    parser = commands.add_parser(
        "predict",
        help="videos and some words -> probabilities",
        description="Prints how probable each label is for each video.",
        epilog="Exit code: 0 all videos done, 1 some could not be used, 2 nothing done.",
    )
    parser.set_defaults(execute=execute)
    parser.add_argument("model", metavar="MODEL", help="model directory, PyTorch checkpoint or hub name")
    parser.add_argument("videos", metavar="VIDEO", nargs="+", help="video files, directories of videos, or globs")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", help='texts to choose from, separated by commas: "archery, surfing"')
    labels.add_argument("--labels-file", type=pathlib.Path, help="the same, one a line, or a CSV with a column `name`")
    parser.add_argument(
        "--templates", default="actionclip", help="prompt templates: actionclip (16), none, or a file with one a line"
    )
    parser.add_argument("--frames", type=terminal.positive, help="frames of a clip (default: the model's)")
    parser.add_argument(
        "--views",
        type=terminal.views,
        default=(1, 1),
        metavar="TxS",
        help="T clips over time x S crops, averaged (default: 1x1)",
    )
    parser.add_argument("--top", type=terminal.positive, default=5, help="labels shown for each video (default: 5)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all probabilities here (- for stdout)")
    parser.add_argument(
        "--sheet", type=pathlib.Path, metavar="FILE.png", help="draw the sampled frames and the probabilities"
    )
    parser.add_argument("--batch-size", type=terminal.positive, default=8, help="clips computed at once (default: 8)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep text embeddings between runs")
    checkpoints.add_options(parser)
    parser.add_argument(
        "--dtype", choices=config.DTYPES, default="float32", help="of the computation (default: float32)"
    )
    parser.add_argument(
        "--attention", choices=config.ATTENTION, default="auto", help="attention kernel (default: auto)"
    )
    parser.add_argument(
        "--interpolate-positions", action="store_true", help="allow more frames than the model learned positions for"
    )


def execute(options: argparse.Namespace) -> int:
    """Predicts, prints, and writes what was asked for."""
    from actionclip_jax import predict, textfile
    from actionclip_jax.data import video

    terminal.set_up_jax()
    if options.sheet:
        terminal.check_picture(options.sheet, "--sheet")
    if options.json and str(options.json) != "-":
        terminal.check_output(options.json)
    file = options.labels_file
    labels = textfile.read_labels(file, terminal.say) if file else options.labels.split(",")
    labels = predict.checked_labels(labels)
    videos = video.find_videos(options.videos)
    model = predict.load(
        options.model,
        activation=options.activation,
        cache=None if options.no_cache else terminal.cache_directory() / "text",
        say=terminal.say,
        dtype=options.dtype,
        attention=options.attention,
        interpolate_positions=options.interpolate_positions,
    )
    results = model.predict_each(
        videos,
        labels,
        templates=options.templates,
        frames=options.frames,
        views=options.views,
        batch_size=options.batch_size,
        keep_images=bool(options.sheet),
    )
    with terminal.progress_bar(len(videos)) as progress:
        done = []
        try:
            for result in progress.track(results, total=len(videos), description="predicting"):
                done.append(result)
                print_result(result, options.top, quiet=str(options.json) == "-")
        except KeyboardInterrupt:
            terminal.tell(f"stopped after {len(done)} of {len(videos)} videos")
            report(options, model, labels, done)
            raise
    return report(options, model, labels, done)


def print_result(result: Any, top: int, quiet: bool) -> None:
    """One video's ranked labels, or why there are none."""
    if isinstance(result, ValueError):
        terminal.tell(f"[bold red]failed:[/] {terminal.escape(result)}")
        return
    if result.note:
        terminal.tell(f"[yellow]note:[/] {terminal.escape(result.path)}: {terminal.escape(result.note)}")
    if quiet:
        return
    terminal.CONSOLE.print(terminal.escape(result.path), style="bold")
    width = max(rich.cells.cell_len(label) for label, _ in result.top(top))
    for label, probability in result.top(top):
        bar = "━" * round(30 * probability)
        cell = terminal.escape(rich.cells.set_cell_size(label, width))
        terminal.CONSOLE.print(f"  {cell}  {probability:7.2%}  [cyan]{bar}[/]")


def report(options: argparse.Namespace, model: Any, labels: Sequence[str], results: list) -> int:
    """Writes the JSON and the sheet, sums up failures, and returns the exit code."""
    good = [result for result in results if not isinstance(result, ValueError)]
    if options.json:
        content = {
            "model": options.model,
            "frames": options.frames or model.config.frames,
            "views": list(options.views),
            "templates": options.templates,
            "dtype": options.dtype,
            "labels": list(labels),
            "results": [as_json(result) for result in results],
        }
        dumped = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if str(options.json) == "-":
            sys.stdout.write(dumped)
        else:
            options.json.write_text(dumped, encoding="utf-8")
            terminal.say(f"wrote {options.json}")
    if options.sheet and good:
        from actionclip_jax import draw

        for page in draw.prediction_sheets(options.sheet, good, options.top):
            terminal.say(f"wrote {page}")
    if len(good) < len(results):
        terminal.tell(f"[bold red]{len(results) - len(good)} of {len(results)} videos could not be used[/]")
        return terminal.EXIT_FAILED
    return 0


def as_json(result: Any) -> dict[str, Any]:
    """A prediction or an error as JSON."""
    if isinstance(result, ValueError):
        return {"video": result.path, "error": result.reason}
    return {
        "video": result.path,
        "probabilities": {label: round(value, 6) for label, value in result.top(len(result.labels))},
        "frames": result.frames.tolist(),
        "timestamps": result.timestamps.round(4).tolist(),
        "note": result.note,
    }
