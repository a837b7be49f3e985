"""`actionclip demo`."""

import argparse
import pathlib
import shlex
from typing import Any

from actionclip_jax import cli
from actionclip_jax.cli import terminal


def add(commands: Any) -> None:
    """actionclip demo"""
    parser = commands.add_parser(
        "demo",
        help="make sample videos and predict them with a random model",
        description="Shows the whole way from a video file to probabilities, without any download.",
    )
    parser.set_defaults(execute=execute)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("outputs/demo"), help="default: outputs/demo")


def execute(options: argparse.Namespace) -> int:
    """Writes sample videos and a random model, then calls `predict` as a user would."""
    from actionclip_jax import demo

    terminal.set_up_jax()
    terminal.say("The model is initialised at random and has learned nothing: its probabilities mean nothing.")
    arguments = demo.prepare(options.out)
    terminal.say(f"$ actionclip {shlex.join(arguments)}")
    return cli.main(arguments)
