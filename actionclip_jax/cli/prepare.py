"""`actionclip prepare`."""

import argparse
import logging
import pathlib
import typing
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, source, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.data import table
    from actionclip_jax.data.records import writer

BEAM = "--beam."  # what begins an option of Apache Beam


def add(commands: Any) -> None:
    """actionclip prepare SOURCE OUT"""
    default = config.RecordConfig()
    parser = commands.add_parser(
        "prepare",
        usage="actionclip prepare SOURCE OUT [options]",
        help="videos -> ArrayRecord shards that are quick to read",
        description="Decodes a data set once, so that training need not. Goes on where it was interrupted.",
        epilog="Exit code: 0 done, 1 some clips could not be used (see OUT/bad_clips.jsonl) or --verify met damage, "
        "2 not done.",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
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
    add_parts(parser)


def add_parts(parser: argparse.ArgumentParser) -> None:
    """What many machines have to be told."""
    group = parser.add_argument_group("on many machines", "the same command on each, but for one of these")
    add = group.add_mutually_exclusive_group().add_argument
    part = "make part I, from 0 on, of N: every N-th shard. Parts may be made at the same time, on any machines"
    add("--shard", type=arguments.part, metavar="I/N", help=part)
    add("--merge", action="store_true", help="check that all parts are there, and complete OUT")
    add("--verify", action="store_true", help="compare OUT with SOURCE and every shard with its SHA-256")
    engines = "beam: an Apache Beam pipeline, in this process unless --beam.X=Y, its options, say otherwise"
    add("--engine", choices=("processes", "beam"), default="processes", help=f"{engines} (default: processes)")


def execute(options: argparse.Namespace) -> int:
    """Prepares with a progress bar, and sums up."""
    paths.check({**source.paths_of(options), "OUT": options.out})
    from actionclip_jax.data import summary, workers

    check_together(options)
    out = paths.expand_home(options.out)
    names = config.to_dict(config.RecordConfig())
    settings = config.RecordConfig(**{name: getattr(options, name) for name in names})
    config.check_data(settings)
    check_out(out, paths.expand_home(options.path))
    clips = source.open_table(options)
    for line in summary.notices(clips.origin):
        terminal.say(line)
    options.workers = options.workers or workers.count_cores()
    with terminal.progress_line():
        if options.verify:
            return verify(clips, out, settings)
        if options.shard:
            return make_part(clips, out, settings, options)
        outcome = make_all(clips, out, settings, options)
    if outcome.kept_shards and not options.merge:
        terminal.say(f"{outcome.kept_shards} shards were finished before and kept")
    terminal.say(f"wrote {out}: {outcome.clips} clips, {outcome.bytes / 1e6:.1f} MB")
    say_notes(outcome, out)
    if outcome.bad:
        terminal.say(f"{outcome.bad} clips could not be used: {out / 'bad_clips.jsonl'} says why")
        terminal.say("once they are repaired: the same command with --retry-bad")
        return terminal.EXIT_FAILED
    return 0


def check_together(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together, or that nobody understands."""
    beam = options.engine == "beam"
    if strange := [flag for flag in options.settings if not flag.startswith(BEAM)]:
        raise ValueError(f"unrecognized arguments: {' '.join(strange)}")
    if options.settings and not beam:
        raise ValueError(f"{options.settings[0]} goes with --engine beam")
    if beam and options.workers:
        raise ValueError("--workers goes without --engine beam, whose runner has options of its own")
    mode = next((name for name in ("shard", "merge", "verify") if getattr(options, name)), None)
    if mode and options.overwrite:
        raise ValueError(f"--overwrite does not go with --{mode}: delete {options.out} before the first part is made")
    if mode in ("merge", "verify") and options.retry_bad:
        raise ValueError(f"--retry-bad does not go with --{mode}, which reads no videos")


def make_all(
    clips: "table.ClipTable", out: pathlib.Path, settings: config.RecordConfig, options: argparse.Namespace
) -> "writer.Outcome":
    """Makes all shards, or finds them made."""
    from actionclip_jax.data.records import writer

    if options.merge:
        return writer.merge(clips, out, settings)
    again = {"overwrite": options.overwrite, "retry_bad": options.retry_bad}
    if options.engine == "processes":
        return writer.prepare(clips, out, settings, processes=options.workers, **again)
    if "verbose" not in options:  # Beam warns of all that might be installed too
        logging.getLogger().setLevel(logging.ERROR)
    try:
        from actionclip_jax.data.records import beam_pipeline
    except ImportError as error:
        raise ValueError(str(error)) from None
    flags = [f"--{flag.removeprefix(BEAM)}" for flag in options.settings]
    return beam_pipeline.prepare(clips, out, settings, flags, **again)


def make_part(
    clips: "table.ClipTable", out: pathlib.Path, settings: config.RecordConfig, options: argparse.Namespace
) -> int:
    """Makes a part, and says how far all are. Bad clips are no failure: the other parts are needed all the same."""
    from actionclip_jax.data.records import layout, writer

    outcome, there, total = writer.prepare_part(
        clips, out, settings, options.shard, processes=options.workers, retry_bad=options.retry_bad
    )
    part = "{}/{}".format(*options.shard)
    terminal.say(
        f"part {part}: {outcome.shards} shards, {outcome.kept_shards} of them finished before and kept; "
        f"{outcome.clips} clips, {outcome.bytes / 1e6:.1f} MB"
    )
    say_notes(outcome, out)
    if outcome.bad:
        terminal.say(f'{outcome.bad} clips could not be used: "bad" in {out / "shards" / "*.json"} says why')
    terminal.say(f"{there} of {total} shards of {out} are there")
    if there == total and not layout.read_dataset(out)["complete"]:
        terminal.say(f"to complete it: the same command with --merge in place of --shard {part}")
    return 0


def verify(clips: "table.ClipTable", out: pathlib.Path, settings: config.RecordConfig) -> int:
    """Says what is wrong with a finished directory."""
    from actionclip_jax.data.records import check, plan

    plan.check_directory(out, plan.describe(clips, settings), overwrite=False)
    problems = check.verify(out, clips)
    terminal.say(check.describe(problems))
    return terminal.EXIT_FAILED if problems else 0


def say_notes(outcome: "writer.Outcome", out: pathlib.Path) -> None:
    """Says how many videos have notes, and where these are."""
    from actionclip_jax.data import clip_log

    if outcome.notes:
        terminal.say(clip_log.describe_notes(outcome.notes, outcome.clips, f'"note" in {out / "shards" / "*.json"}'))


def check_out(out: pathlib.Path, source: pathlib.Path) -> None:
    """Raises ValueError for an output directory that would become part of its own source, or has no name."""
    if out == pathlib.Path():
        raise ValueError("OUT is the current directory: expected a directory of its own")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"OUT {out} lies in SOURCE {source}, whose videos it would be taken for: choose another place")
