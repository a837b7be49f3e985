"""Options of the commands that several processes may run together."""

import argparse

from actionclip_jax.cli import terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    """Whether this process is one of several, and how they find each other."""
    group = parser.add_argument_group("several processes, each of which is started with the same command")
    group.add_argument(
        "--distributed", action="store_true", help="they find each other: Slurm, MPI, TPU pod, or the following"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is, any free port of its host")
    group.add_argument("--processes", type=terminal.positive, metavar="N", help="how many there are")
    group.add_argument("--process", type=terminal.natural, metavar="I", help="which this is, from 0 on")


def join(options: argparse.Namespace) -> None:
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
