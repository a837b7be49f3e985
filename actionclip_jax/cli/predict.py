"""`actionclip predict`."""

import argparse
import json
import pathlib
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import rich.cells

from actionclip_jax import config, paths
from actionclip_jax.cli import checkpoints, interrupts, labels, terminal, timelines

TOP = 5  # labels shown


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
    labels.add_options(parser)
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
    parser.add_argument(
        "--top",
        type=terminal.positive,
        help=f"labels shown for each video (default: {TOP}; drawn over time: {timelines.TOP})",
    )
    parser.add_argument(
        "--json", type=terminal.path, metavar="FILE", help="write all probabilities here (- for stdout)"
    )
    parser.add_argument(
        "--sheet", type=terminal.path, metavar="FILE.png", help="draw the sampled frames and the probabilities"
    )
    timelines.add_options(parser)
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
    files = {"--labels-file": options.labels_file, "--templates": options.templates}
    written = {"--json": options.json, "--sheet": options.sheet}
    paths.check({"MODEL": options.model, "VIDEO": options.videos, **files, **written})
    from actionclip_jax.checkpoints import contents
    from actionclip_jax.data.video import find
    from actionclip_jax.inference import predict

    if (model_file := paths.expand_home(options.model)).is_file():
        contents.check(model_file)  # before anything is said of VIDEO, which may stand in its place
    terminal.set_up_jax()
    timelines.check(options)
    if options.sheet:
        terminal.check_picture(options.sheet, "--sheet")
    if options.json and str(options.json) != "-":
        terminal.check_output(options.json, "--json")
    asked = labels.read(options)
    found, passed_over = find.find_videos(options.videos)
    videos = [item for item in found if not isinstance(item, ValueError)]
    if passed_over:
        terminal.say(find.describe_passed_over(passed_over, len(videos)))
    if not videos:
        raise ValueError("\n".join([f"no video found for: {', '.join(options.videos)}", *map(str, found)]))
    model = predict.load(
        options.model,
        activation=options.activation,
        cache=None if options.no_cache else terminal.cache_directory() / "text",
        dtype=options.dtype,
        attention=options.attention,
        interpolate_positions=options.interpolate_positions,
    )
    with interrupts.handled_by(signal.default_int_handler), terminal.progress_drawn():
        done = []
        results = (timelines.follow if options.timeline else predict_each)(options, model, videos, asked)
        try:
            for item in found:
                result = item if isinstance(item, ValueError) else next(results)  # some inputs have no video
                done.append(result)
                print_result(result, options, quiet=str(options.json) == "-")
        except KeyboardInterrupt:
            terminal.tell(f"stopped after {len(done)} of {len(found)} videos")
            report(options, model, asked, done)
            raise
    return report(options, model, asked, done)


def predict_each(
    options: argparse.Namespace, model: Any, videos: Sequence[pathlib.Path], asked: Sequence[str]
) -> Iterator[Any]:
    """A Prediction or VideoError of each video."""
    return model.predict_each(
        videos,
        asked,
        templates=options.templates,
        split_names=options.split_names,
        frames=options.frames,
        views=options.views,
        batch_size=options.batch_size,
        keep_images=bool(options.sheet),
    )


def print_result(result: Any, options: argparse.Namespace, quiet: bool) -> None:
    """What is said of one video, or why it cannot be used."""
    if isinstance(result, ValueError):
        terminal.tell(f"[bold red]failed:[/] {terminal.escape(result)}")
        return
    if result.note:
        terminal.tell(f"[yellow]note:[/] {terminal.escape(result.path)}: {terminal.escape(result.note)}")
    if quiet:
        return
    terminal.CONSOLE.print(terminal.escape(result.path), style="bold")
    if options.timeline:
        timelines.print_segments(result)
        return
    ranked = result.top(options.top or TOP)
    width = max(rich.cells.cell_len(terminal.visible(label)) for label, _ in ranked)
    for label, probability in ranked:
        terminal.CONSOLE.print(f"  {terminal.bar(label, width, probability)}")


def report(options: argparse.Namespace, model: Any, asked: Sequence[str], results: list) -> int:
    """Writes the JSON and the sheet, sums up failures, and returns the exit code."""
    from actionclip_jax.data import labels as names

    good = [result for result in results if not isinstance(result, ValueError)]
    if options.json:
        content = {
            "model": options.model,
            "frames": options.frames or model.config.frames,
            **(timelines.settings(options) if options.timeline else {"views": list(options.views)}),
            "templates": options.templates,
            "dtype": options.dtype,
            "labels": list(asked),
            "texts": list(names.as_texts(asked, options.split_names)),
            "results": [as_json(result, options.timeline) for result in results],
        }
        dumped = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if str(options.json) == "-":
            sys.stdout.write(dumped)
        else:
            options.json.write_text(dumped, encoding="utf-8")
            terminal.say(f"wrote {options.json}")
    if options.sheet and good:
        from actionclip_jax.plots import sheets
        from actionclip_jax.plots import timelines as timeline_plots

        if options.timeline:
            pages = timeline_plots.timeline_sheets(options.sheet, good, options.top or timelines.TOP)
        else:
            pages = sheets.prediction_sheets(options.sheet, good, options.top or TOP)
        for page in pages:
            terminal.say(f"wrote {page}")
    if len(good) < len(results):
        terminal.tell(f"[bold red]{len(results) - len(good)} of {len(results)} videos could not be used[/]")
        return terminal.EXIT_FAILED if good else terminal.EXIT_USAGE
    return 0


def as_json(result: Any, is_timeline: bool) -> dict[str, Any]:
    """A prediction, a timeline or an error as JSON."""
    if isinstance(result, ValueError):
        return {"video": result.path, "error": result.reason}
    if is_timeline:
        return timelines.as_json(result)
    return {
        "video": result.path,
        "probabilities": {label: round(value, 6) for label, value in result.top(len(result.labels))},
        "frames": result.frames.tolist(),
        "timestamps": result.timestamps.round(4).tolist(),
        "note": result.note,
    }
