"""`actionclip models`."""

import argparse
import dataclasses
import json
import sys
from typing import Any

from actionclip_jax.checkpoints import released
from actionclip_jax.cli import arguments, terminal

UNKNOWN = "not published"


def add(commands: Any) -> None:
    """actionclip models"""
    parser = commands.add_parser(
        "models",
        help="models that can be named, and where they are to be had",
        description="Lists the models that a command takes by name. Nothing is downloaded.",
        epilog="Exit code: 0 done, 2 no such model. With --make: 75 and 130 stopped, the same command goes on.",
    )
    parser.set_defaults(execute=execute)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--json", action="store_true", help="print all that is known, as JSON")
    parser.add_argument("--make", action="store_true", help="of `sample`: train it now, and not on first use")


def execute(options: argparse.Namespace) -> int:
    """Lists, or makes."""
    if unknown := [name for name in options.names if name not in released.BY_NAME]:
        raise ValueError("\n".join(f"{name}: no such model{released.suggest(name)}" for name in unknown))
    if options.make:
        if options.names != [released.SAMPLE]:
            raise ValueError("--make makes one model: actionclip models sample --make")
        arguments.make_ready(released.SAMPLE)
    chosen = [released.BY_NAME[name] for name in options.names] or released.MODELS
    if options.json:
        listed = [{name: value or None for name, value in dataclasses.asdict(model).items()} for model in chosen]
        sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
        return 0
    for model in chosen:
        describe(model)
    terminal.say('use one: actionclip predict NAME video.mp4 --labels "archery, surfing"')
    return 0


def describe(model: released.Released) -> None:
    """What is known of one model, in a few lines."""
    frames = f"{model.frames} frames" if model.frames else "pictures"
    terminal.CONSOLE.print(f"[bold]{model.name}[/]  {model.publisher}, {model.size}, {frames}, {model.licence}")
    lines = {"score": f"{model.score} (top-1, percent)" if model.score else UNKNOWN}
    if model.name == released.SAMPLE:
        lines["get"] = describe_sample()
    elif model.hub:
        lines["get"] = f"{model.hub} on the Hugging Face hub, fetched when it is used"
        lines |= {"file": model.where} if model.where else {}
    else:
        lines["get"] = f"by hand: {model.where}" + (f" (code {model.code})" if model.code else "")
        lines |= {"page": model.page} if model.page else {}
        lines["then"] = model.convert()
    if model.name != released.SAMPLE:
        begins = "begins with " if 0 < len(model.sha256) < 64 else ""
        lines["SHA-256"] = f"{begins}{model.sha256}" if model.sha256 else UNKNOWN
    for title, value in lines.items():
        terminal.CONSOLE.print(f"  {title:8} {terminal.escape(value)}")
    terminal.CONSOLE.print()


def describe_sample() -> str:
    """Whether the sample model is here already."""
    from actionclip_jax.checkpoints import sample  # takes seconds: it asks the model directory

    return f"made here on first use, in minutes{f': {sample.model()}' if sample.is_made() else ''}"
