"""Options of the commands that several processes may run together."""

import argparse
import os
import sys

from actionclip_jax.cli import terminal

HEARTBEAT_SECONDS = 20  # a process silent for so long is lost, and the others end; JAX would wait 100
SHUTDOWN_SECONDS = 20  # a process that ends waits so long for the others


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
        jax.distributed.initialize(
            *told, heartbeat_timeout_seconds=HEARTBEAT_SECONDS, shutdown_timeout_seconds=SHUTDOWN_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"--distributed: the other processes were not found ({error})") from None


def part() -> None:
    """Waits until all processes have done their work: the first writes reports, however long that takes."""
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("the end")


def give_up(error: Exception) -> None:
    """Ends one of several processes that lost another; raises the error where there is only one.

    Python's usual end would wait for the processes that are lost.
    """
    import jax

    if jax.process_count() == 1:
        raise error
    terminal.tell(f"[bold red]a process of this run was lost:[/] {terminal.escape(str(error).splitlines()[0])}")
    sys.stderr.flush()
    os._exit(1)
