"""`actionclip convert`."""

import argparse
import signal
import types
from collections.abc import Sequence
from typing import Any

from actionclip_jax import paths
from actionclip_jax.cli import arguments, interrupts, settings, terminal


def add(commands: Any) -> None:
    """actionclip convert SOURCE DESTINATION"""
    parser = commands.add_parser(
        "convert",
        help="others' checkpoint -> model directory, and back",
        description="Reads checkpoints of OpenAI's CLIP, transformers' CLIP, SigLIP and MetaCLIP 2, open_clip, "
        "Perception Encoder, big_vision, ActionCLIP and mmaction2.",
        epilog="Exit code: 0 done, 1 --verify found a difference, 2 nothing done.",
    )
    parser.set_defaults(execute=execute)
    arguments.add_model(parser, "SOURCE")
    parser.add_argument("destination", metavar="DESTINATION", help="model directory, or with --to a file or directory")
    parser.add_argument(
        "--describe", action=WithoutDestination, nargs=0, default=False, help="print what SOURCE is; convert nothing"
    )
    formats = ("openai", "huggingface", "open_clip", "pe", "actionclip", "big_vision")
    listed = f"write another program's checkpoint instead: {', '.join(formats)}"
    parser.add_argument("--to", choices=formats, metavar="FORMAT", help=listed)
    parser.add_argument("--towers-only", action="store_true", help="with --to: leave the temporal head out")
    parser.add_argument(
        "--verify", action="store_true", help="compare with an independent PyTorch model; needs the `torch` extra"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DESTINATION")
    number = {"type": arguments.positive, "metavar": "N"}
    parser.add_argument("--frames", help="frames of a clip, where the source does not say (default: 8)", **number)
    parser.add_argument("--image-size", help="another input size in pixels: positions are interpolated", **number)
    arguments.add_activation(parser)
    arguments.add_trust(parser)


class WithoutDestination(argparse.Action):
    """A flag beside which there is no DESTINATION. As an optional one it could not follow an option."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Sets the flag."""
        setattr(namespace, self.dest, True)
        for action in parser._actions:
            action.required = action.required and action.dest != "destination"


def execute(options: argparse.Namespace) -> int:
    """Converts, and proves it if asked to."""
    given = {"SOURCE": options.source, "DESTINATION": options.destination}
    paths.check({name: path for name, path in given.items() if path is not None})
    from actionclip_jax.checkpoints import export, load, model_directory

    terminal.set_up_jax()
    check_options(options)
    arguments.make_ready(options.source)
    if options.describe:
        settings.show_model(load.describe(options.source, options.activation, options.frames))
        return 0
    weights = load.read_any(
        options.source,
        activation=options.activation,
        frames=options.frames,
        image_size=options.image_size,
        trust_code=options.trust_code,
    )
    with interrupts.handled_by(signal.default_int_handler):  # which removes what is half written
        if options.to:
            how = {"towers_only": options.towers_only, "overwrite": options.overwrite}
            for line in export.export(weights, options.destination, options.to, **how):
                terminal.say(line)
            terminal.say(f"wrote {options.destination} ({options.to})")
            return 0
        model_directory.save(options.destination, weights, options.overwrite)
    terminal.say(f"wrote {options.destination}")
    del weights
    return run_verify(options) if options.verify else 0


def check_options(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together, and where the destination cannot be written."""
    from actionclip_jax.checkpoints import export, model_directory, released

    if options.describe:
        others = ("destination", "to", "towers_only", "verify", "overwrite", "image_size")
        if given := [name for name in others if getattr(options, name)]:
            raise ValueError(f"--describe converts nothing: not together with {', '.join(given)}")
        return
    if options.verify and (options.to or options.image_size):
        raise ValueError(
            "--verify compares a converted directory with its source: not together with --to or --image-size"
        )
    if options.towers_only and not options.to:
        raise ValueError("--towers-only goes with --to")
    if options.verify and (options.source == released.SAMPLE or model_directory.is_model_directory(options.source)):
        raise ValueError(
            f"--verify needs a PyTorch checkpoint as the source, and {options.source} is a model directory"
        )
    if options.verify:
        import_verify()
    if options.to:
        export.check_destination(paths.expand_home(options.destination), options.to, options.overwrite)
    else:
        model_directory.check_destination(options.destination, options.overwrite)


def import_verify() -> types.ModuleType:
    """The module that needs PyTorch, or a ValueError saying so."""
    try:
        from actionclip_jax.checkpoints import verify
    except ImportError as error:
        raise ValueError(f"--verify needs PyTorch: pip install 'actionclip-jax[torch]' ({error})") from None
    return verify


def run_verify(options: argparse.Namespace) -> int:
    """Compares the directory just written with its source."""
    verify = import_verify()
    differences = verify.verify(options.source, options.destination, options.activation)
    for difference in differences:
        verdict = "[green]equal[/]" if difference.fine else "[bold red]DIFFERENT[/]"
        errors = f"max absolute error {difference.absolute:.2e}, relative {difference.relative:.2e}"
        terminal.CONSOLE.print(f"{difference.name:15} {errors}  {verdict}")
    if all(difference.fine for difference in differences):
        return 0
    terminal.tell(f"[bold red]the conversion is wrong:[/] relative errors above {verify.LIMIT:g}")
    return terminal.EXIT_FAILED
