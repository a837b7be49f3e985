"""`actionclip predict --timeline`: what happens when in long videos."""

import argparse
import dataclasses
import pathlib
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import rich.cells

from actionclip_jax import config
from actionclip_jax.cli import arguments, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.data import video
    from actionclip_jax.inference import predict, timeline

TOP = 10  # labels drawn
FIELDS = tuple(field.name for field in dataclasses.fields(config.TimelineConfig))


def add_options(parser: argparse.ArgumentParser) -> None:
    """--timeline and what belongs to it."""
    default = config.TimelineConfig()
    group = parser.add_argument_group(
        "timelines", "what happens when: windows of --frames frames slide over each video"
    )
    group.add_argument(
        "--timeline", action="store_true", help="print segments; --json and --sheet get the probabilities over time"
    )
    belongs = "belongs to --timeline"
    group.add_argument(
        "--window",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"length of a window (default: {default.window:g}; {belongs})",
    )
    group.add_argument(
        "--hop",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"from window to window, rounded to whole distances of frames (default: a quarter window; {belongs})",
    )
    group.add_argument(
        "--threshold",
        type=arguments.above_zero,
        metavar="P",
        help="a segment is a run of windows with the same best label of at least this probability "
        f"(default: {default.threshold:g}; {belongs})",
    )


def given(options: argparse.Namespace) -> dict[str, float]:
    """The fields of `config.TimelineConfig` that were given."""
    return {name: value for name in FIELDS if (value := vars(options)[name]) is not None}


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together."""
    if not options.timeline:
        if alone := given(options):
            raise ValueError(f"{', '.join(f'--{name}' for name in alone)}: only with --timeline")
        return
    from actionclip_jax.inference import timeline  # brings JAX, which takes seconds

    timeline.checked(config.TimelineConfig(**given(options)))
    if options.views != (1, 1):
        views = "x".join(map(str, options.views))
        raise ValueError(f"--views {views}: with --timeline every window is one view (1x1)")


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """All fields of `config.TimelineConfig`, as JSON."""
    return config.to_dict(config.TimelineConfig(**given(options)))


def follow(
    options: argparse.Namespace, model: "predict.Predictor", videos: Sequence[pathlib.Path], asked: Sequence[str]
) -> Iterator["timeline.Timeline | video.VideoError"]:
    """A Timeline or VideoError of each video."""
    from actionclip_jax.inference import timeline

    yield from timeline.follow_each(
        model,
        videos,
        asked,
        templates=options.templates,
        split_names=options.split_names,
        frames=options.frames,
        batch_size=options.batch_size,
        **given(options),
    )


def print_segments(result: "timeline.Timeline") -> None:
    """A line for each segment: when, what, and how probable."""
    from actionclip_jax.data.video import times

    if not result.segments:
        terminal.CONSOLE.print(f"  no label is the best with a probability of {result.threshold:g} in any window")
        return
    spans = [f"{times.clock(part.start)} - {times.clock(part.end)}" for part in result.segments]
    width = max(rich.cells.cell_len(terminal.visible(part.label)) for part in result.segments)
    for span, part in zip(spans, result.segments, strict=True):
        bar = terminal.bar(part.label, width, part.score)
        terminal.CONSOLE.print(f"  {span:>{max(map(len, spans))}}  {bar}")


def as_json(result: "timeline.Timeline") -> dict[str, Any]:
    """A timeline as JSON."""
    columns = result.probabilities.round(6).T.tolist()
    return {
        "video": result.path,
        "windows": result.times.round(4).tolist(),
        "probabilities": dict(zip(result.labels, columns, strict=True)),
        "segments": [
            {
                "start": round(part.start, 4),
                "end": round(part.end, 4),
                "label": part.label,
                "score": round(part.score, 6),
            }
            for part in result.segments
        ],
        "note": result.note,
    }
