"""`actionclip train`."""

import argparse
import signal
import time
from typing import Any

from actionclip_jax import paths
from actionclip_jax.cli import processes, terminal


def add(commands: Any) -> None:
    """actionclip train --config FILE"""
    parser = commands.add_parser(
        "train",
        usage="actionclip train --config FILE [options] [--config.part.field=value ...]",
        help="train a model, or go on where training stopped",
        description="Trains what a configuration file says. The workdir then holds metrics.jsonl, TensorBoard scalars, "
        "checkpoints, curves.png and the model directory `model`. The same command goes on with an interrupted run.",
        epilog="Exit code: 0 done; 2 nothing done; 3 stopped where somebody has to look; 75 stopped by SIGTERM and 130 "
        "by Ctrl-C, saved; anything else: crashed. After 75 and a crash the same command goes on.",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
    parser.add_argument("--config", required=True, metavar="FILE", help="a shipped one, or file with get_config()")
    parser.add_argument("--workdir", metavar="DIR", help="where everything is written: --config.workdir")
    parser.add_argument("--init-from", metavar="MODEL", help="weights to start from: --config.init_from")
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, compile, do one step on real data, and stop"
    )
    processes.add_options(parser)


def execute(options: argparse.Namespace) -> int:
    """Reads the configuration, trains with a progress line, and sums up."""
    began = time.perf_counter()
    paths.check({"--config": options.config, "--workdir": options.workdir, "--init-from": options.init_from})
    import jax

    from actionclip_jax import config
    from actionclip_jax.config import config_file
    from actionclip_jax.training import loop

    overrides = list(options.settings)
    for name in ("workdir", "init_from"):
        if (value := getattr(options, name)) is not None:
            overrides.append(f"{config_file.PREFIX}{name}={value}")
    run: config.TrainConfig = config_file.load(options.config, overrides)
    terminal.set_up_jax()
    processes.join(options)
    with terminal.progress_line():
        try:
            outcome = loop.train(run, dry_run=options.dry_run, began=began)
        except loop.TrainingError as error:
            terminal.tell(f"[bold red]stopped:[/] {terminal.escape(error)}")
            return terminal.EXIT_STUCK
        except jax.errors.JaxRuntimeError as error:
            processes.give_up(error)
    processes.part()
    if not jax.process_index():
        spent = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in outcome.clock.summary().items())
        share = f"{outcome.clock.goodput():.0%} of the time in steps"
        terminal.say(f"seconds: {spent}; {share}, start {outcome.clock.starts}")
    if options.dry_run or outcome.model:
        return 0
    return terminal.EXIT_INTERRUPTED if outcome.signal == signal.SIGINT else terminal.EXIT_STOPPED
