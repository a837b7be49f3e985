"""`actionclip train`."""

import argparse
import re
import signal
import time
import typing
from collections.abc import Callable
from typing import Any

from actionclip_jax import config, paths
from actionclip_jax.cli import arguments, processes, settings, terminal

if typing.TYPE_CHECKING:
    from actionclip_jax.training import loop

EXIT_CODES = (
    "3 stopped where somebody has to look; 75 stopped by SIGTERM and 130 by Ctrl-C, saved; anything else: crashed. "
    "After 75 and a crash the same command goes on."
)


def add(commands: Any) -> None:
    """actionclip train --config FILE"""
    parser = commands.add_parser(
        "train",
        usage="actionclip train --config FILE [options] [--config.part.field=value ...]",
        help="train a model, or go on where training stopped",
        description="Trains what a configuration file says. The workdir then holds metrics.jsonl, TensorBoard scalars, "
        "checkpoints, curves.png and the model directory `model`. The same command goes on with an interrupted run.",
        epilog=f"Exit code: 0 done; 2 nothing done; {EXIT_CODES}",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
    parser.add_argument("--config", required=True, metavar="FILE", help="a shipped one, or file with get_config()")
    parser.add_argument("--workdir", metavar="DIR", help="where everything is written: --config.workdir")
    parser.add_argument("--init-from", metavar="MODEL", help="weights to start from: --config.init_from")
    parser.add_argument("--wandb", metavar="PROJECT", help="of Weights & Biases, for the numbers: --config.wandb")
    arguments.add_trust(parser)
    parser.add_argument(
        "--show", action="store_true", help="print every setting: its flag with its value, its default, what it means"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, compile, do one step on real data, and stop"
    )
    parser.add_argument(
        "--profile",
        type=step_range,
        default=range(0),
        metavar="START:STOP",
        help="trace steps START (the first is 1) to STOP - 1 into WORKDIR/profile, for TensorBoard and Perfetto",
    )
    processes.add_options(parser)


def step_range(value: str) -> range:
    """`100:105` -> the steps 100 to 104."""
    parts = re.fullmatch(r"(\d{1,9}):(\d{1,9})", value)
    if not parts or not 1 <= int(parts[1]) < int(parts[2]):
        raise argparse.ArgumentTypeError(f"{value!r} is not of the form START:STOP, with 1 <= START < STOP")
    return range(int(parts[1]), int(parts[2]))


def execute(options: argparse.Namespace) -> int:
    """Reads the configuration, trains with a progress line, and sums up."""
    began = time.perf_counter()
    paths.check({"--config": options.config, "--workdir": options.workdir, "--init-from": options.init_from})
    if options.profile and options.dry_run:
        raise ValueError("--profile traces steps of a run: it does not go with --dry-run")
    run = read_run(options)
    if options.show:
        settings.show(run)
        return 0
    import jax

    from actionclip_jax.training import loop

    arguments.make_ready(run.init_from)
    terminal.set_up_jax()
    if options.profile:  # programs compiled before may lack the names that a trace shows
        jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    processes.join(options)

    def work() -> "loop.Outcome":
        outcome = loop.train(run, dry_run=options.dry_run, began=began, profile=options.profile)
        if not jax.process_index():
            clock = outcome.clock
            spent = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in clock.summary().items())
            terminal.say(f"seconds: {spent}; {clock.goodput():.0%} of the time in steps, start {clock.starts}")
        if not options.dry_run and outcome.model is None:
            raise loop.Interrupted(outcome)
        return outcome

    return supervise(work)


def read_run(options: argparse.Namespace) -> config.TrainConfig:
    """What the file and the flags say."""
    from actionclip_jax.config import config_file

    overrides = list(options.settings)
    for name in settings.SHORT_FLAGS:
        if (value := getattr(options, name)) is not None:
            overrides.append(f"{config_file.PREFIX}{name}={value}")
    if options.trust_code:
        overrides.append(f"{config_file.PREFIX}trust_code=true")
    return config_file.load(options.config, overrides)


def supervise(work: Callable[[], object]) -> int:
    """Does work that trains, with a progress line; returns the exit code of the command."""
    import jax

    from actionclip_jax.training import loop

    code = 0
    with terminal.progress_line():
        try:
            work()
        except loop.TrainingError as error:
            terminal.tell(f"[bold red]stopped:[/] {terminal.escape(error)}")
            return terminal.EXIT_STUCK
        except loop.Interrupted as interrupted:
            by_hand = interrupted.outcome.signal == signal.SIGINT
            code = terminal.EXIT_INTERRUPTED if by_hand else terminal.EXIT_STOPPED
        except jax.errors.JaxRuntimeError as error:
            processes.give_up(error)
    processes.part()
    return code
