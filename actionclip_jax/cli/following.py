"""`actionclip predict --timeline --follow`: a video that is still being written."""

import argparse
import contextlib
import json
import math
import pathlib
import sys
import threading
import typing
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TextIO

import rich.cells

from actionclip_jax import config, progress
from actionclip_jax.cli import arguments, interrupts, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.data import video
    from actionclip_jax.inference import live, predict, timeline

BELONGS = "belongs to --follow"


def add_options(group: argparse._ArgumentGroup) -> None:
    """--follow and what belongs to it."""
    default = config.LiveConfig()
    group.add_argument(
        "--follow",
        action="store_true",
        help="follow a growing file or a named pipe, and print each segment when it has ended; stopped by Ctrl-C, the "
        "end of a pipe, or --idle (belongs to --timeline)",
    )
    group.add_argument(
        "--idle",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"a file that has not grown for so long has ended (default: {default.idle:g}; {BELONGS})",
    )
    group.add_argument(
        "--max-lag",
        type=arguments.above_zero,
        metavar="SECONDS",
        help=f"frames that are later than this are dropped, and counted (default: two windows; {BELONGS})",
    )
    group.add_argument(
        "--json-lines",
        type=arguments.path,
        metavar="FILE",
        help=f"write each window and each segment at once as a line of JSON (- for stdout; {BELONGS})",
    )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Those of the options that were given, by name."""
    values = {name: vars(options)[name] for name in ("follow", "idle", "max_lag", "json_lines")}
    return {name: value for name, value in values.items() if value not in (None, False)}


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together."""
    if not options.follow:
        if alone := [f"--{name.replace('_', '-')}" for name in given(options)]:
            raise ValueError(f"{', '.join(alone)}: only with --follow")
        return
    if len(options.videos) > 1:
        raise ValueError(f"--follow: follows one video, and {len(options.videos)} were given")
    if options.annotate and pathlib.Path(options.videos[0]).is_fifo():
        raise ValueError("--annotate reads the video again, which a pipe cannot be: record it into a file")
    if to_stdout(options.json) and to_stdout(options.json_lines):
        raise ValueError("--json and --json-lines cannot both write to standard output")
    if options.json_lines and not to_stdout(options.json_lines):
        arguments.check_output(options.json_lines, "--json-lines")


def to_stdout(file: pathlib.Path | None) -> bool:
    """Whether a file that is written is standard output."""
    return str(file) == "-"


def follow(
    options: argparse.Namespace,
    model: "predict.Predictor",
    videos: Sequence[pathlib.Path],
    asked: Sequence[str],
    how: Mapping[str, Any],
) -> "timeline.Timeline | video.VideoError":
    """Follows the video and prints what ends; returns the timeline of all, or the error."""
    from actionclip_jax.data import video
    from actionclip_jax.inference import class_scores, live, timeline

    (path,) = videos
    lag = {name: value for name in ("idle", "max_lag") if (value := vars(options)[name]) is not None}
    width = max(rich.cells.cell_len(terminal.visible(label)) for label in asked)
    quiet = to_stdout(options.json) or to_stdout(options.json_lines)
    if not quiet:
        terminal.CONSOLE.print(terminal.escape(path), style="bold")
        terminal.print_remark(class_scores.ABSOLUTE if options.absolute else None)
    seconds = progress.Progress(f"{path.name} (seconds)", None)
    with stopped_by_hand() as stop, lines_to(options.json_lines) as lines:
        try:
            for event in live.follow(model, path, asked, stop=stop, **how, **lag):
                if lines is not None:
                    write_line(lines, event, asked, options.absolute)
                if isinstance(event, timeline.Timeline):
                    seconds.finish()
                    tell_end(event, stop, quiet)
                    return event
                if isinstance(event, timeline.Segment):
                    print_segment(event, width, quiet)
                else:
                    seconds.move_to(event.end, terminal.escape(describe(event)))
        except video.VideoError as error:
            return error
    raise AssertionError("the last event is a timeline")


@contextlib.contextmanager
def stopped_by_hand() -> Generator[threading.Event]:
    """Within, Ctrl-C sets the event; a second one ends the process."""
    stop = threading.Event()

    def ask(*signal_and_frame: object) -> None:
        if stop.is_set():
            interrupts.end_at_once()
        stop.set()

    with interrupts.handled_by(ask):
        yield stop


@contextlib.contextmanager
def lines_to(file: pathlib.Path | None) -> Generator[TextIO | None]:
    """The open file of --json-lines, if there is one."""
    if file is None or to_stdout(file):
        yield sys.stdout if file else None
        return
    with file.open("w", encoding="utf-8") as lines:
        yield lines


def write_line(lines: TextIO, event: "live.Event", labels: Sequence[str], absolute: bool) -> None:
    """An event as a line of JSON, at once; one of `absolute` probabilities says so."""
    from actionclip_jax.cli import timelines
    from actionclip_jax.inference import timeline

    if isinstance(event, timeline.Segment):
        content: dict[str, Any] = {"segment": timelines.segment_as_json(event)}
    elif isinstance(event, timeline.Timeline):
        content = {"end": round(float(event.bounds[-1]), 4), "dropped": event.dropped, "note": event.note}
    else:
        values = [round(float(value), 6) for value in event.probabilities]
        scores = None if event.label is None else dict(zip(labels, values, strict=True))
        content = {"window": [round(event.start, 4), round(event.end, 4)], "probabilities": scores}
    says = {"absolute": True} if absolute else {}
    lines.write(json.dumps({**content, **says}, ensure_ascii=False) + "\n")
    lines.flush()


def describe(window: "live.Window") -> str:
    """`surfing 93%, 12 frames dropped`."""
    said = "not scored" if math.isnan(window.probability) else f"{window.label} {window.probability:.0%}"
    return said + (f", {window.dropped} frames dropped" if window.dropped else "")


def print_segment(part: "timeline.Segment", width: int, quiet: bool) -> None:
    """A segment that has ended."""
    from actionclip_jax.data.video import times

    if not quiet:
        span = f"{times.clock(part.start)} - {times.clock(part.end)}"
        terminal.CONSOLE.print(f"  {span:>19}  {terminal.bar(part.label, width, part.score)}")


def tell_end(result: "timeline.Timeline", stop: threading.Event, quiet: bool) -> None:
    """Why it ended, and what was dropped."""
    from actionclip_jax.cli import timelines
    from actionclip_jax.data.video import times

    if not result.segments and not quiet:
        timelines.print_segments(result)
    ended = "stopped" if stop.is_set() else "ended"
    terminal.say(f"{ended} at {times.clock(float(result.bounds[-1]))} with {len(result.times)} windows")
    if result.dropped:
        missing = sum(math.isnan(row[0]) for row in result.probabilities.tolist())
        terminal.tell(f"[yellow]note:[/] {result.dropped} frames came too late: {missing} windows were not scored")
