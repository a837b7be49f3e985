"""`actionclip finetune`."""

import argparse
import dataclasses
import pathlib
import typing
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, source, terminal, train


def add(commands: Any) -> None:
    """actionclip finetune MODEL SOURCE"""
    default = config.FinetuneConfig()
    parser = commands.add_parser(
        "finetune",
        usage="actionclip finetune MODEL SOURCE --out DIR [options]",
        help="train a model further on your own videos",
        description="Looks at the data, holds some clips out, decides what is not told, measures the model, trains it, "
        "and measures it again. DIR then holds the model, a report, and the whole configuration as config.py, with "
        "which `actionclip train` goes on. The same command goes on with a fine-tuning that was stopped.",
        epilog=f"Exit code: 0 done; 2 nothing done; {train.EXIT_CODES}",
    )
    parser.set_defaults(execute=execute)
    add = parser.add_argument
    arguments.add_model(parser)
    source.add_options(parser, seeds="what is held out and of everything random")
    add("--out", default=default.out, metavar="DIR", help="(default: %(default)s)")
    add("--plan", action="store_true", help="stop before training: look at DIR, and change DIR/config.py")
    group = parser.add_argument_group("held-out clips, which the model is measured on")
    held = f"share held out of every class, 0 for none; or a list or folder of others (default: {default.held_out:g})"
    group.add_argument("--val", type=share_or_path, default=default.held_out, metavar="SHARE|SOURCE", help=held)
    group.add_argument(
        "--val-split", default="", metavar="NAME", help="the split of SOURCE, or of --val, that is held out"
    )
    add_training(parser.add_argument_group("training; what is not told is decided by the rule in docs/training.md"))
    arguments.add_computation(parser)
    arguments.add_trust(parser)


def add_training(group: argparse._ArgumentGroup) -> None:
    """How the model is trained."""
    add = group.add_argument
    add("--epochs", type=arguments.above_zero, default=0.0, metavar="N", help="how often every clip is seen")
    add("--batch-size", type=arguments.positive, default=0, metavar="N", help="clips compared with each other")
    add("--lr", type=arguments.above_zero, default=0.0, metavar="RATE", help="greatest learning rate of the towers")
    freezes = typing.get_args(typing.get_type_hints(config.FinetuneConfig)["freeze"])
    add("--freeze", choices=freezes, default="nothing", help="parts that stay as they are (default: nothing)")
    add("--frames", type=arguments.positive, default=0, metavar="N", help="frames of a clip (default: the model's)")
    heads = f"a new temporal head: {', '.join(config.HEADS)}, or package.module:Name (default: the model's)"
    add("--head", type=arguments.choice_or_own(config.HEADS), metavar="HEAD", help=heads)
    add("--from-scratch", action="store_true", help="random weights in MODEL's architecture, to compare with")
    add("--templates", default="actionclip", help="actionclip (16), none, or a file with one a line")
    workers = "decoding processes; -1: one a CPU core; 0: threads (default: by the device)"
    add("--workers", type=int, metavar="N", help=workers)


def share_or_path(value: str) -> float | str:
    """`0.1` -> 0.1; anything that is no number is a path."""
    try:
        share = float(value)
    except ValueError:
        return str(arguments.path(value))
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{value} is no share of at least 0 and below 1; a path may be ./{value}")
    return share


def execute(options: argparse.Namespace) -> int:
    """Reads the options, fine-tunes with a progress line, and prints the report."""
    of_val = options.val if isinstance(options.val, str) else None
    paths.check({"MODEL": options.model, **source.paths_of(options), "--out": options.out, "--val": of_val})
    from actionclip_jax.experiments.finetuning import run

    arguments.make_ready(options.model)
    terminal.set_up_jax()
    request = read_request(options)
    if code := train.supervise(lambda: run.finetune(request, plan_only=options.plan)):
        return code
    if options.plan:
        terminal.say("nothing was trained: the same command without --plan does that")
        return 0
    report = (pathlib.Path(options.out).expanduser() / "report.md").read_text(encoding="utf-8")
    terminal.CONSOLE.print(terminal.visible(report), markup=False)
    return 0


def read_request(options: argparse.Namespace) -> config.FinetuneConfig:
    """What the options ask for."""
    import jax

    data, test = source.read_options(options), config.SourceConfig()
    if isinstance(options.val, str) or options.val_split:
        path = options.val if isinstance(options.val, str) else data.path
        only = "" if isinstance(options.val, str) else data.only
        test = dataclasses.replace(data, path=path, split=options.val_split, only=only, shots=0)
    workers = options.workers
    if workers is None:
        # where the CPU computes as well, processes gain nothing over threads and take seconds to start
        workers = 0 if jax.default_backend() == "cpu" else -1
    names = ("model", "out", "epochs", "batch_size", "lr", "freeze", "frames", "from_scratch")
    names += ("templates", "trust_code")
    return config.FinetuneConfig(
        **{name: getattr(options, name) for name in names},
        head=options.head or "",
        data=data,
        test=test,
        held_out=options.val if isinstance(options.val, float) else config.FinetuneConfig.held_out,
        workers=workers,
        seed=options.seed,
        compute=arguments.read_computation(options),
    )
