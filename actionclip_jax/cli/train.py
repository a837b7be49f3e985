"""`actionclip train`."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

from actionclip_jax.cli import terminal


def add(commands: Any) -> None:
    """actionclip train --config FILE"""
    parser = commands.add_parser(
        "train",
        usage="actionclip train --config FILE [options] [--config.part.field=value ...]",
        help="train a model, or go on where training stopped",
        description="Trains what a configuration file says. The workdir then holds metrics.jsonl, TensorBoard scalars, "
        "checkpoints, curves.png and the model directory `model`. The same command goes on with an interrupted run.",
        epilog="Exit code: 0 done, 1 stopped before the end, 2 nothing done.",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
    parser.add_argument("--config", required=True, metavar="FILE", help="Python file with get_config(); see configs/")
    parser.add_argument("--workdir", metavar="DIR", help="where everything is written: --config.workdir")
    parser.add_argument("--init-from", metavar="MODEL", help="weights to start from: --config.init_from")
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, compile, do one step on real data, and stop"
    )
    group = parser.add_argument_group("several processes, each of which is started with the same command")
    group.add_argument(
        "--distributed", action="store_true", help="they find each other: Slurm, MPI, TPU pod, or the following"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is, any free port of its host")
    group.add_argument("--processes", type=terminal.positive, metavar="N", help="how many there are")
    group.add_argument("--process", type=terminal.natural, metavar="I", help="which this is, from 0 on")


def execute(options: argparse.Namespace) -> int:
    """Reads the configuration, trains with a progress line, and sums up."""
    from actionclip_jax import config_file, run_config, train

    overrides = list(options.settings)
    for name in ("workdir", "init_from"):
        if value := getattr(options, name):
            overrides.append(f"{config_file.PREFIX}{name}={value}")
    run: run_config.TrainConfig = config_file.load(options.config, overrides)
    terminal.set_up_jax()
    join_others(options)
    with progress_line() as progress:
        try:
            outcome = train.train(run, say=terminal.say, progress=progress, dry_run=options.dry_run)
        except train.TrainingError as error:
            terminal.tell(f"[bold red]stopped:[/] {terminal.escape(error)}")
            return terminal.EXIT_FAILED
    spent = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in outcome.seconds.items())
    terminal.say(f"seconds: {spent}")
    return 0 if options.dry_run or outcome.step == outcome.steps else terminal.EXIT_FAILED


def join_others(options: argparse.Namespace) -> None:
    """Makes this process one of several, if it was told to be."""
    told = (options.coordinator, options.processes, options.process)
    if any(value is not None for value in told) and (not options.distributed or None in told):
        raise ValueError("--coordinator, --processes and --process go together, and with --distributed")
    if not options.distributed:
        return
    import jax

    try:
        jax.distributed.initialize(*told)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"--distributed: the other processes were not found ({error})") from None


@contextlib.contextmanager
def progress_line() -> Iterator[Any]:
    """A function that shows how far a task is, with a line of numbers."""
    with terminal.progress_bar(2, "{task.fields[line]}") as bar:
        tasks: dict[str, Any] = {}

        def progress(task: str, done: int, total: int, line: str) -> None:
            if task not in tasks:
                tasks[task] = bar.add_task(task, total=total, line=line)
            bar.update(tasks[task], completed=done, total=total, line=line, visible=done < total)

        yield progress
