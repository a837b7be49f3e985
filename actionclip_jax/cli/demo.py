"""`actionclip demo`."""

import argparse
import pathlib
import shlex
from typing import Any

import rich.table

from actionclip_jax import cli, paths
from actionclip_jax.cli import arguments, terminal, train

ROWS = {  # of the table: what the report calls it, and its chance level if that is always the same
    "top1": "accuracy",
    "chance": "  by chance",
    "color": "colour right",
    "shape": "shape right",
    "direction": "direction right",
    "left_or_right": "left or right (chance 50%)",
    "up_or_down": "up or down (chance 50%)",
}


def add(commands: Any) -> None:
    """actionclip demo"""
    parser = commands.add_parser(
        "demo",
        help="train, evaluate and predict on sample videos made on the spot",
        description="Makes some thousand short videos of moving shapes, trains a small ActionCLIP on some combinations "
        "of their words, and tests it on others. Needs no download and three to six minutes on two cores.",
        epilog=f"Exit code: 0 done; 1 some video could not be read; 2 nothing done; {train.EXIT_CODES}",
    )
    parser.set_defaults(execute=execute)
    parser.add_argument("--out", default="outputs/sample", metavar="DIR", help="(default: %(default)s)")
    parser.add_argument(
        "--videos", metavar="DIR", help="instead: make a folder of videos for every class, to try the other commands on"
    )
    parser.add_argument("--config", default="sample", metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--seed", type=arguments.natural, default=0, help="of weights and batches (default: 0)")


def execute(options: argparse.Namespace) -> int:
    """Trains with a control, prints the comparison, and calls `predict` as a user would."""
    paths.check({"--out": options.out, "--config": options.config, "--videos": options.videos})
    if options.videos:
        return make_folders(options.videos)
    from actionclip_jax.experiments import demo

    out = pathlib.Path(options.out)
    run = demo.sample_run(options.config, out, options.seed)
    for split in demo.PREPARED.values():
        prepare(out / "data", split, demo.records(out, split))
    terminal.set_up_jax()
    terminal.say(f"$ actionclip train --config {options.config} --workdir {out}")
    reports: list[dict[str, Any]] = []
    if code := train.supervise(lambda: reports.append(demo.run_demo(run))):
        return code
    (report,) = reports
    print_report(report, run.model.temporal.head)
    failed = predict_unseen(out)
    terminal.say(f"{report['seconds']:.0f} seconds of training and evaluation; all of it is in {out}")
    return failed


def make_folders(directory: str) -> int:
    """What --videos does."""
    from actionclip_jax.data.shapes import folders

    folders.make_folders(directory)
    terminal.say(f"made {directory}/videos, with a folder for every class, and {directory}/long.mp4")
    return 0


def prepare(videos: pathlib.Path, split: str, records: pathlib.Path) -> None:
    """Decodes a split once for all epochs, as a user would."""
    command = ["prepare", str(videos), str(records), "--kind", "sample", "--split", split]
    terminal.say(f"$ actionclip {shlex.join(command)}")
    if cli.main(command):
        raise ValueError(f"{split}: the sample videos could not be prepared")


def predict_unseen(out: pathlib.Path) -> int:
    """Asks the trained model what happens in videos of classes it never saw."""
    from actionclip_jax.data.shapes import sample_set

    videos = sample_set.examples(out / "data", "unseen")
    labels = sorted({label for _, label in sample_set.read_list(out / "data", "unseen")})
    files = ["--sheet", str(out / "sheet.png"), "--json", str(out / "predictions.json")]
    command, asked = ["predict", str(out / "model"), *map(str, videos)], ", ".join(labels)
    shortened = shlex.join([*command[:3], "...", "--labels", f"{labels[0]}, ...", "--top", "3", *files])
    terminal.say(f"$ actionclip {shortened}")
    return cli.main([*command, "--labels", asked, "--top", "3", *files])


def print_report(report: dict[str, Any], head: str) -> None:
    """A table of both models on both sets of classes."""
    sets = {"test": "seen classes", "zero_shot": "unseen classes"}
    table = rich.table.Table()
    table.add_column(no_wrap=True)
    for title in sets.values():
        table.add_column(f"{title}\n{head}", justify="right", no_wrap=True)
        table.add_column("control\nmeanP", justify="right", no_wrap=True)
    for name, title in ROWS.items():
        cells = [f"{report[part][model][name]:.1%}" for part in sets for model in (head, "meanP")]
        table.add_row(title, *cells)
    terminal.CONSOLE.print(table)
