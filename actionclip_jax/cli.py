"""The `actionclip` command: one subcommand a job, each a thin call."""

import argparse
import json
import logging
import os
import pathlib
import shlex
import sys
import types
from collections.abc import Sequence
from typing import Any

import rich.cells
import rich.console
import rich.markup
import rich.progress

from actionclip_jax import config

CONSOLE = rich.console.Console(emoji=False, highlight=False, soft_wrap=True)  # results
ERRORS = rich.console.Console(emoji=False, highlight=False, soft_wrap=True, stderr=True)  # progress and messages
EXIT_FAILED = 1  # something of the work asked for could not be done
EXIT_USAGE = 2  # nothing was done: wrong arguments or unusable input


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="actionclip", description="Video action recognition as video-text matching.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_predict, add_convert, add_demo):
        add(commands)
    options = parser.parse_args(arguments)
    quieten_libraries()
    try:
        set_up_jax()
        return options.run(options)
    except (ValueError, OSError) as error:
        tell(f"[bold red]error:[/] {escape(error)}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        tell("stopped")
        return 130


def quieten_libraries() -> None:
    """Libraries that log what the error message says anyway, or what does not matter here."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it misses PyTorch, which is not needed here
    for name in ("huggingface_hub", "asyncio", "absl"):  # retries without a network; damaged weights
        logging.getLogger(name).setLevel(logging.CRITICAL)


def set_up_jax() -> None:
    """Keeps compiled programs between runs: compiling a large model takes longer than one prediction."""
    import jax

    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))


def cache_directory() -> pathlib.Path:
    """Where caches go: $XDG_CACHE_HOME/actionclip-jax, by default below ~/.cache."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "actionclip-jax"


def tell(message: str) -> None:
    """A message for people, with rich markup."""
    ERRORS.print(message)


def escape(message: object) -> str:
    """Text that rich shows as it is."""
    return rich.markup.escape(str(message))


def say(line: str) -> None:
    """A plain message."""
    tell(escape(line))


def add_predict(commands: Any) -> None:
    """actionclip predict MODEL VIDEO... --labels ..."""
    parser = commands.add_parser(
        "predict",
        help="videos and some words -> probabilities",
        description="Prints how probable each label is for each video.",
        epilog="Exit code: 0 all videos done, 1 some could not be used, 2 nothing done.",
    )
    parser.set_defaults(run=run_predict)
    parser.add_argument("model", metavar="MODEL", help="model directory, PyTorch checkpoint or hub name")
    parser.add_argument("videos", metavar="VIDEO", nargs="+", help="video files, directories of videos, or globs")
    labels = parser.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", help='texts to choose from, separated by commas: "archery, surfing"')
    labels.add_argument("--labels-file", type=pathlib.Path, help="the same, one a line, or a CSV with a column `name`")
    parser.add_argument(
        "--templates", default="actionclip", help="prompt templates: actionclip (16), none, or a file with one a line"
    )
    parser.add_argument("--frames", type=positive, help="frames of a clip (default: the model's)")
    parser.add_argument(
        "--views",
        type=views,
        default=(1, 1),
        metavar="TxS",
        help="T clips over time x S crops, averaged (default: 1x1)",
    )
    parser.add_argument("--top", type=positive, default=5, help="labels shown for each video (default: 5)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all probabilities here (- for stdout)")
    parser.add_argument(
        "--sheet", type=pathlib.Path, metavar="FILE.png", help="draw the sampled frames and the probabilities"
    )
    parser.add_argument("--batch-size", type=positive, default=8, help="clips computed at once (default: 8)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep text embeddings between runs")
    add_source_options(parser)
    parser.add_argument(
        "--dtype", choices=config.DTYPES, default="float32", help="of the computation (default: float32)"
    )
    parser.add_argument(
        "--attention", choices=config.ATTENTION, default="auto", help="attention kernel (default: auto)"
    )
    parser.add_argument(
        "--interpolate-positions", action="store_true", help="allow more frames than the model learned positions for"
    )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """What a PyTorch checkpoint does not say of itself."""
    parser.add_argument("--activation", choices=config.ACTIVATIONS, help="of open_clip weights that do not say it")


def positive(value: str) -> int:
    """A whole number from 1 on."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of at least 1")
    return int(value)


def views(value: str) -> tuple[int, int]:
    """`10x3` -> (10, 3)."""
    parts = value.lower().split("x")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form 10x3: clips over time x crops")
    return positive(parts[0]), positive(parts[1])


def check_output(path: pathlib.Path) -> None:
    """Raises OSError for a file that cannot be written, before hours of work rather than after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab"):
        pass


def run_predict(options: argparse.Namespace) -> int:
    """Predicts, prints, and writes what was asked for."""
    from actionclip_jax import predict, text
    from actionclip_jax.data import video

    if options.sheet and options.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet {options.sheet}: expected a name ending in .png")
    for output in (options.json, options.sheet):
        if output and str(output) != "-":
            check_output(output)
    labels = text.read_labels(options.labels_file, say) if options.labels_file else options.labels.split(",")
    labels = predict.checked_labels(labels)
    videos = video.find_videos(options.videos)
    model = predict.load(
        options.model,
        activation=options.activation,
        cache=None if options.no_cache else cache_directory() / "text",
        say=say,
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
    with rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        console=ERRORS,
        transient=True,
        disable=len(videos) < 2 or not ERRORS.is_terminal,
    ) as progress:
        done = []
        try:
            for result in progress.track(results, total=len(videos), description="predicting"):
                done.append(result)
                print_result(result, options.top, quiet=str(options.json) == "-")
        except KeyboardInterrupt:
            tell(f"stopped after {len(done)} of {len(videos)} videos")
            report(options, model, labels, done)
            raise
    return report(options, model, labels, done)


def print_result(result: Any, top: int, quiet: bool) -> None:
    """One video's ranked labels, or why there are none."""
    if isinstance(result, ValueError):
        tell(f"[bold red]failed:[/] {escape(result)}")
        return
    if result.note:
        tell(f"[yellow]note:[/] {escape(result.path)}: {escape(result.note)}")
    if quiet:
        return
    CONSOLE.print(escape(result.path), style="bold")
    width = max(rich.cells.cell_len(label) for label, _ in result.top(top))
    for label, probability in result.top(top):
        bar = "━" * round(30 * probability)
        cell = escape(rich.cells.set_cell_size(label, width))
        CONSOLE.print(f"  {cell}  {probability:7.2%}  [cyan]{bar}[/]")


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
            say(f"wrote {options.json}")
    if options.sheet and good:
        from actionclip_jax import draw

        for page in draw.prediction_sheets(options.sheet, good, options.top):
            say(f"wrote {page}")
    if len(good) < len(results):
        tell(f"[bold red]{len(results) - len(good)} of {len(results)} videos could not be used[/]")
        return EXIT_FAILED
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


def add_convert(commands: Any) -> None:
    """actionclip convert SOURCE DESTINATION"""
    parser = commands.add_parser(
        "convert",
        help="PyTorch CLIP or ActionCLIP checkpoint -> model directory, and back",
        description="Reads OpenAI CLIP, Hugging Face CLIP, open_clip, ActionCLIP and mmaction2 checkpoints.",
        epilog="Exit code: 0 done, 1 --verify found a difference, 2 nothing done.",
    )
    parser.set_defaults(run=run_convert)
    parser.add_argument("source", metavar="SOURCE", help="checkpoint file or directory, model directory, or hub name")
    parser.add_argument("destination", metavar="DESTINATION", help="model directory, or with --to a file or directory")
    parser.add_argument(
        "--to", choices=("openai", "huggingface", "actionclip"), help="write a PyTorch checkpoint instead"
    )
    parser.add_argument("--towers-only", action="store_true", help="with --to: leave the temporal head out")
    parser.add_argument(
        "--verify", action="store_true", help="compare with an independent PyTorch model; needs the `torch` extra"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DESTINATION")
    parser.add_argument("--frames", type=positive, help="frames of a clip, where the source does not say (default: 8)")
    parser.add_argument("--image-size", type=positive, help="another input size in pixels: positions are interpolated")
    add_source_options(parser)


def run_convert(options: argparse.Namespace) -> int:
    """Converts, and proves it if asked to."""
    from actionclip_jax import checkpoint
    from actionclip_jax.convert import run

    if options.verify and (options.to or options.image_size):
        raise ValueError(
            "--verify compares a converted directory with its source: not together with --to or --image-size"
        )
    if options.towers_only and not options.to:
        raise ValueError("--towers-only goes with --to")
    if options.verify and checkpoint.is_model_directory(options.source):
        raise ValueError(
            f"--verify needs a PyTorch checkpoint as the source, and {options.source} is a model directory"
        )
    if options.verify:
        import_verify()
    if options.to:
        run.check_destination(pathlib.Path(options.destination).expanduser(), options.to, options.overwrite)
    else:
        checkpoint.check_destination(options.destination, options.overwrite)
    weights = run.read_any(
        options.source,
        activation=options.activation,
        frames=options.frames,
        image_size=options.image_size,
        say=say,
    )
    if options.to:
        for line in run.export(
            weights, options.destination, options.to, towers_only=options.towers_only, overwrite=options.overwrite
        ):
            say(line)
        say(f"wrote {options.destination} ({options.to})")
        return 0
    checkpoint.save(options.destination, weights, options.overwrite)
    say(f"wrote {options.destination}")
    del weights
    return run_verify(options) if options.verify else 0


def import_verify() -> types.ModuleType:
    """The module that needs PyTorch, or a ValueError saying so."""
    try:
        from actionclip_jax.convert import verify
    except ImportError as error:
        raise ValueError(f"--verify needs PyTorch: pip install 'actionclip-jax[torch]' ({error})") from None
    return verify


def run_verify(options: argparse.Namespace) -> int:
    """Compares the directory just written with its source."""
    verify = import_verify()
    differences = verify.verify(options.source, options.destination, options.activation)
    for difference in differences:
        verdict = "[green]equal[/]" if difference.fine else "[bold red]DIFFERENT[/]"
        errors = f"max absolute error {difference.absolute:.2e}, relative {difference.relative:.2e}"
        CONSOLE.print(f"{difference.name:15} {errors}  {verdict}")
    if all(difference.fine for difference in differences):
        return 0
    tell(f"[bold red]the conversion is wrong:[/] relative errors above {verify.LIMIT:g}")
    return EXIT_FAILED


def add_demo(commands: Any) -> None:
    """actionclip demo"""
    parser = commands.add_parser(
        "demo",
        help="make sample videos and predict them with a random model",
        description="Shows the whole way from a video file to probabilities, without any download.",
    )
    parser.set_defaults(run=run_demo)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("outputs/demo"), help="default: outputs/demo")


def run_demo(options: argparse.Namespace) -> int:
    """Writes sample videos and a random model, then calls `predict` as a user would."""
    from actionclip_jax import demo

    say("The model is initialised at random and has learned nothing: its probabilities mean nothing.")
    arguments = demo.prepare(options.out)
    say(f"$ actionclip {shlex.join(arguments)}")
    return main(arguments)
