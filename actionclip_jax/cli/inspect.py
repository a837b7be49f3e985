"""`actionclip inspect`."""

import argparse
import json
import typing
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, source, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.data import table


def add(commands: Any) -> None:
    """actionclip inspect SOURCE"""
    sample = config.SampleConfig()
    parser = commands.add_parser(
        "inspect",
        usage="actionclip inspect SOURCE [options]",
        help="what a data set or a directory of shards holds",
        description="Counts clips and classes, and draws what training would see.",
        epilog="Exit code: 0 all is well, 1 --verify or the sheet met damage, 2 nothing done.",
    )
    parser.set_defaults(execute=execute)
    source.add_options(parser)
    number = {"type": arguments.positive, "metavar": "N"}
    parser.add_argument("--sheet", type=arguments.path, metavar="FILE.png", help="draw augmented samples")
    parser.add_argument("--samples", default=8, help="clips on the sheet (default: 8)", **number)
    parser.add_argument("--frames", default=sample.frames, help="frames of a clip (default: 8)", **number)
    parser.add_argument("--size", default=sample.size, help="pixels of a side (default: 224)", **number)
    parser.add_argument("--augment", action=argparse.BooleanOptionalAction, default=True, help="(default: yes)")
    parser.add_argument("--json", type=arguments.path, metavar="FILE", help="write the findings here")
    parser.add_argument("--verify", action="store_true", help="compare every shard with its SHA-256")


def execute(options: argparse.Namespace) -> int:
    """Prints, draws and verifies."""
    paths.check({**source.paths_of(options), "--sheet": options.sheet, "--json": options.json})
    from actionclip_jax.data import summary

    if options.sheet:
        arguments.check_picture(options.sheet, "--sheet")
    if options.json:
        arguments.check_output(options.json, "--json")
    if options.verify and not verify(options.path):  # what is damaged may not open
        return terminal.EXIT_FAILED
    clips = source.open_table(options)
    findings = summary.summarise(clips)
    for line in summary.describe(findings):
        terminal.CONSOLE.print(terminal.escape(line))
    if options.json:
        options.json.write_text(json.dumps(findings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        terminal.say(f"wrote {options.json}")
    failed = draw_sheet(options, clips) if options.sheet else 0
    return terminal.EXIT_FAILED if failed else 0


def verify(path: str) -> bool:
    """Says whether a prepared directory is as it was written, or what is wrong with it."""
    from actionclip_jax.data.records import check, layout

    directory = paths.expand_home(path)
    if not (directory / layout.DATASET).is_file():
        raise ValueError(f"--verify goes with a directory made by `actionclip prepare`, and {path} is none")
    with terminal.progress_line():
        problems = check.verify(directory)
    terminal.say(check.describe(problems))
    return not problems


def draw_sheet(options: argparse.Namespace, clips: "table.ClipTable") -> int:
    """Draws clips as training would see them; returns how many could not be decoded."""
    from actionclip_jax.training import preview

    augmentation = config.AugmentConfig() if options.augment else config.NO_AUGMENTATION
    sample = config.SampleConfig(frames=options.frames, size=options.size)
    terminal.set_up_jax()
    pages, bad = preview.draw(options.sheet, clips, sample, augmentation, options.seed, options.samples)
    for page in pages:
        terminal.say(f"wrote {page}")
    for clip, reason in bad.items():
        terminal.say(f"cannot be decoded: {clip}: {reason}")
    return len(bad)
