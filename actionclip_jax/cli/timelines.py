"""`actionclip predict --timeline`: what happens when in long videos."""

import argparse
import dataclasses
import math
import pathlib
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import rich.cells

from actionclip_jax import config
from actionclip_jax.cli import arguments, following, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.data import video
    from actionclip_jax.inference import predict, timeline

TOP = 10  # labels drawn
FIELDS = tuple(field.name for field in dataclasses.fields(config.TimelineConfig))
BELONGS = "belongs to --timeline"


def add_options(parser: argparse.ArgumentParser) -> None:
    """--timeline and what belongs to it."""
    default = config.TimelineConfig()
    group = parser.add_argument_group(
        "timelines", "what happens when: windows of --frames frames slide over each video"
    )
    group.add_argument(
        "--timeline", action="store_true", help="print segments; --json and --sheet get the probabilities over time"
    )
    group.add_argument(
        "--window",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"length of a window (default: {default.window:g}; {BELONGS})",
    )
    group.add_argument(
        "--hop",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"from window to window, rounded to whole distances of frames (default: a quarter window; {BELONGS})",
    )
    add_segments(group)
    group.add_argument(
        "--annotate",
        type=arguments.path,
        metavar="FILE.mp4",
        help="write a copy of the video with the label, a bar and the probability at each time; of several videos "
        f"FILE.mp4, FILE-2.mp4 ... (.mp4, .mov or .mkv; {BELONGS})",
    )
    following.add_options(group)


def add_segments(group: argparse._ArgumentGroup) -> None:
    """What makes segments of probabilities."""
    default = config.TimelineConfig()
    group.add_argument(
        "--threshold",
        type=arguments.above_zero,
        metavar="P",
        help="a segment is a run of windows with the same best label of at least this probability "
        f"(default: {default.threshold:g}; {BELONGS})",
    )
    group.add_argument(
        "--smooth",
        type=arguments.above_zero,
        metavar="SECONDS",
        help="segments are made of the running median of each label over so long; probabilities in --json stay as "
        f"they are (default: none; {BELONGS})",
    )
    group.add_argument(
        "--min-length",
        type=arguments.above_zero,
        metavar="SECONDS",
        help="a label holds until another one, or none, has lasted so long; so no segment is shorter "
        f"(default: none; {BELONGS})",
    )


def given(options: argparse.Namespace) -> dict[str, float]:
    """The fields of `config.TimelineConfig` that were given."""
    return {name: value for name in FIELDS if (value := vars(options)[name]) is not None}


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together."""
    if not options.timeline:
        beside = {**given(options), **following.given(options)}
        beside |= {"annotate": True} if options.annotate else {}
        if alone := [f"--{name.replace('_', '-')}" for name in beside]:
            raise ValueError(f"{', '.join(alone)}: only with --timeline")
        return
    from actionclip_jax.inference import timeline  # brings JAX, which takes seconds

    timeline.checked(config.TimelineConfig(**given(options)))
    if options.views != (1, 1):
        views = "x".join(map(str, options.views))
        raise ValueError(f"--views {views}: with --timeline every window is one view (1x1)")
    following.check(options)
    if options.annotate:
        from actionclip_jax.data.video import rewrite

        if options.annotate.suffix.lower() not in rewrite.FORMATS:
            names = ", ".join(rewrite.FORMATS)
            raise ValueError(f"--annotate {options.annotate}: expected a name ending in {names}")
        arguments.check_output(options.annotate, "--annotate")


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """All fields of `config.TimelineConfig`, as JSON."""
    return config.to_dict(config.TimelineConfig(**given(options)))


def follow(
    options: argparse.Namespace, model: "predict.Predictor", videos: Sequence[pathlib.Path], asked: Sequence[str]
) -> Iterator["timeline.Timeline | video.VideoError"]:
    """A Timeline or VideoError of each video."""
    from actionclip_jax.inference import timeline

    how = {
        "templates": options.templates,
        "split_names": options.split_names,
        "frames": options.frames,
        "absolute": options.absolute,
        "batch_size": options.batch_size,
        **given(options),
    }
    if options.follow:
        yield following.follow(options, model, videos, asked, how)
    else:
        yield from timeline.follow_each(model, videos, asked, **how)


def print_segments(result: "timeline.Timeline") -> None:
    """A line for each segment: when, what, and how probable."""
    from actionclip_jax.data.video import times

    if not result.segments:
        lasting = f" for {result.min_length:g} s" if result.min_length else " in any window"
        terminal.CONSOLE.print(f"  no label is the best with a probability of {result.threshold:g}{lasting}")
        return
    spans = [f"{times.clock(part.start)} - {times.clock(part.end)}" for part in result.segments]
    width = max(rich.cells.cell_len(terminal.visible(part.label)) for part in result.segments)
    for span, part in zip(spans, result.segments, strict=True):
        bar = terminal.bar(part.label, width, part.score)
        terminal.CONSOLE.print(f"  {span:>{max(map(len, spans))}}  {bar}")


def annotate(options: argparse.Namespace, results: Sequence[Any]) -> int:
    """Writes the annotated copy of the last video, if one is wanted; returns how many could not be written, 0 or 1."""
    if not options.annotate or isinstance(results[-1], ValueError):
        return 0
    from actionclip_jax.plots import annotation

    result, number = results[-1], sum(not isinstance(one, ValueError) for one in results)
    file = options.annotate if number == 1 else options.annotate.with_stem(f"{options.annotate.stem}-{number}")
    try:
        note = annotation.annotate(result, file)
    except (ValueError, OSError) as error:
        terminal.tell(f"[bold red]not annotated:[/] {terminal.escape(result.path)}: {terminal.escape(error)}")
        return 1
    terminal.say(f"wrote {file} ({result.path})" + (f": {note}" if note else ""))
    return 0


def as_json(result: "timeline.Timeline") -> dict[str, Any]:
    """A timeline as JSON."""
    columns = [
        [None if math.isnan(value) else round(value, 6) for value in column]  # of windows that were not scored
        for column in result.probabilities.T.tolist()
    ]
    return {
        "video": result.path,
        "absolute": result.absolute,
        "windows": result.times.round(4).tolist(),
        "probabilities": dict(zip(result.labels, columns, strict=True)),  # before --smooth
        "segments": [segment_as_json(part) for part in result.segments],
        "dropped": result.dropped,
        "note": result.note,
    }


def segment_as_json(part: "timeline.Segment") -> dict[str, Any]:
    """A segment as JSON."""
    return {
        "start": round(part.start, 4),
        "end": round(part.end, 4),
        "label": part.label,
        "score": round(part.score, 6),
    }
