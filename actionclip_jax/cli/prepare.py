"""`actionclip prepare`."""

import argparse
import pathlib
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, source, terminal


def add(commands: Any) -> None:
    """actionclip prepare SOURCE OUT"""
    default = config.RecordConfig()
    parser = commands.add_parser(
        "prepare",
        usage="actionclip prepare SOURCE OUT [options]",
        help="videos -> ArrayRecord shards that are quick to read",
        description="Decodes a data set once, so that training need not. Goes on where it was interrupted.",
        epilog="Exit code: 0 done, 1 some clips could not be used (see OUT/bad_clips.jsonl), 2 nothing done.",
    )
    parser.set_defaults(execute=execute)
    source.add_options(parser)
    parser.add_argument("out", metavar="OUT", help="directory to write")
    parser.add_argument(
        "--storage",
        choices=config.STORAGES,
        default=default.storage,
        help="jpeg: evenly spread pictures; video: all frames, each decodable alone (default: jpeg)",
    )
    number = {"type": arguments.positive, "metavar": "N"}
    parser.add_argument("--frames", default=default.frames, help="pictures kept of a clip (default: 32)", **number)
    parser.add_argument(
        "--short-side",
        type=arguments.natural,
        default=default.short_side,
        metavar="N",
        help="larger clips are shrunk to this; 0: never (default: 256)",
    )
    parser.add_argument("--quality", default=default.quality, help="of JPEG, 1..100 (default: 90)", **number)
    parser.add_argument("--crf", type=int, default=default.crf, help="of video: 0 exact, 51 coarse (default: 20)")
    parser.add_argument("--shard-clips", default=default.shard_clips, help="clips in a file (default: 1024)", **number)
    parser.add_argument("--workers", help="processes (default: one a CPU core)", **number)
    parser.add_argument("--retry-bad", action="store_true", help="try clips again that could not be used before")
    parser.add_argument("--overwrite", action="store_true", help="replace what was prepared in OUT")


def execute(options: argparse.Namespace) -> int:
    """Prepares with a progress bar, and sums up."""
    paths.check({**source.paths_of(options), "OUT": options.out})
    from actionclip_jax.data import clip_log, summary, workers
    from actionclip_jax.data.records import writer

    out = paths.expand_home(options.out)
    names = config.to_dict(config.RecordConfig())
    settings = config.RecordConfig(**{name: getattr(options, name) for name in names})
    config.check_data(settings)
    check_out(out, paths.expand_home(options.path))
    clips = source.open_table(options)
    for line in summary.notices(clips.origin):
        terminal.say(line)
    with terminal.progress_line():
        outcome = writer.prepare(
            clips,
            out,
            settings,
            processes=options.workers or workers.count_cores(),
            overwrite=options.overwrite,
            retry_bad=options.retry_bad,
        )
    if outcome.kept_shards:
        terminal.say(f"{outcome.kept_shards} shards were finished before and kept")
    terminal.say(f"wrote {out}: {outcome.clips} clips, {outcome.bytes / 1e6:.1f} MB")
    if outcome.notes:
        terminal.say(clip_log.describe_notes(outcome.notes, outcome.clips, f'"note" in {out / "shards" / "*.json"}'))
    if outcome.bad:
        terminal.say(f"{outcome.bad} clips could not be used: {out / 'bad_clips.jsonl'} says why")
        terminal.say("once they are repaired: the same command with --retry-bad")
        return terminal.EXIT_FAILED
    return 0


def check_out(out: pathlib.Path, source: pathlib.Path) -> None:
    """Raises ValueError for an output directory that would become part of its own source, or has no name."""
    if out == pathlib.Path():
        raise ValueError("OUT is the current directory: expected a directory of its own")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"OUT {out} lies in SOURCE {source}, whose videos it would be taken for: choose another place")
