"""The `actionclip` command: one subcommand a job, each a thin call."""

import logging
import os
import signal
import sys
from collections.abc import Sequence

import actionclip_jax
from actionclip_jax.cli import interrupts  # all that takes time is imported when Ctrl-C is heard

XLA_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # what XLA, in C++, says: 1 warnings and errors, 2 errors only


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code. Without `arguments` it has the process for itself."""
    if arguments is not None:
        return run(arguments)
    signal.signal(signal.SIGINT, interrupts.end_at_once)
    code = run(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was asked for is done, or the reason said
    return code


def run(arguments: Sequence[str] | None) -> int:
    """Reads the command line and does what it says; errors of users end it with a line."""
    from actionclip_jax.cli import (
        compile,
        convert,
        demo,
        evaluate,
        finetune,
        inspect,
        models,
        parsing,
        predict,
        prepare,
        terminal,
        train,
    )

    parser = parsing.Parser(
        prog="actionclip",
        description="Video action recognition as video-text matching.",
        epilog="`actionclip COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"actionclip {actionclip_jax.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (predict, models, finetune, train, evaluate, compile, convert, prepare, inspect, demo):
        command.add(commands)
    options, settings = parser.parse_known_args(arguments)
    if "execute" not in options and not settings:
        parser.print_help(sys.stderr)
        return terminal.EXIT_USAGE
    if settings and "takes_settings" not in options:
        parser.error(f"unrecognized arguments: {' '.join(settings)}")
    options.settings = settings
    if "verbose" in options:
        os.environ.setdefault(XLA_LEVEL, "1")  # as JAX has it; commands that this one calls find it set
    else:
        quieten_libraries()
    try:
        with terminal.messages_shown():
            return options.execute(options)
    except (ValueError, OSError) as error:
        of_file = isinstance(error, OSError) and error.strerror and error.filename is not None
        said = f"{error.filename}: {error.strerror}" if of_file else error
        terminal.tell(f"[bold red]error:[/] {terminal.escape(said)}")
        return terminal.EXIT_USAGE
    except KeyboardInterrupt:
        terminal.tell("stopped")
        return terminal.EXIT_INTERRUPTED


def quieten_libraries() -> None:
    """Libraries that log what the error message says anyway, or what does not matter here. Before they are imported."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it misses PyTorch, which is not needed here
    os.environ.setdefault(XLA_LEVEL, "2")
    for name in ("huggingface_hub", "asyncio", "absl"):  # retries without a network; damaged weights
        logging.getLogger(name).setLevel(logging.CRITICAL)
