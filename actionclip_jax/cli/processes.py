"""Options of the commands that several processes may run together."""

import argparse
import logging
import math
import os
import re
import sys
from concurrent import futures
from typing import NoReturn

from actionclip_jax.cli import arguments, terminal

WAIT_SECONDS = 120  # for the other processes to come
HEARTBEAT_SECONDS = 20  # a process silent for so long is lost, and the others end; JAX would wait 100
SHUTDOWN_SECONDS = 20  # a process that ends waits so long for the others
# what launchers tell a process about all of them; JAX finds the others by these
ENVIRONMENT = (
    "JAX_COORDINATOR_ADDRESS",
    *("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST"),
    *("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    *("PMI_SIZE", "PMI_RANK"),
    *("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID", "MEGASCALE_NUM_SLICES", "MEGASCALE_SLICE_ID"),
    *("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Whether this process is one of several, and how they find each other."""
    group = parser.add_argument_group("several processes, each of which is started with the same command")
    group.add_argument(
        "--distributed", action="store_true", help="they find each other: Slurm, MPI, TPU pod, or the following"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 is, any free port of its host")
    group.add_argument("--processes", type=arguments.positive, metavar="N", help="how many there are")
    group.add_argument("--process", type=arguments.natural, metavar="I", help="which this is, from 0 on")
    group.add_argument(
        "--wait",
        type=arguments.above_zero,
        default=os.environ.get("ACTIONCLIP_WAIT", str(WAIT_SECONDS)),
        metavar="SECONDS",
        help=f"for the others to come (default: $ACTIONCLIP_WAIT or {WAIT_SECONDS})",
    )


def join(options: argparse.Namespace) -> None:
    """Makes this process one of several, if it was told to be. Ends it if the others do not come."""
    check_place(options)
    if not options.distributed:
        return
    awaited = describe_awaited(options)
    terminal.say(f"waits at most {options.wait:g} s (--wait) for the other processes: {awaited}")
    place = (options.coordinator, options.processes, options.process)
    # JAX waits in native code, which hears no Ctrl-C and aborts when its own time is over: it is not given that long
    connected = futures.ThreadPoolExecutor(1).submit(connect, *place, timeout=math.ceil(options.wait) + 60)
    try:
        connected.result(options.wait)
        silence_others()
    except TimeoutError:
        end(
            f"[bold red]error:[/] --distributed: within {options.wait:g} s not all processes came together "
            f"({terminal.escape(awaited)}). Start this command once for each of them, under Slurm by srun, under MPI "
            "by mpirun; or leave --distributed out to work alone",
            terminal.EXIT_USAGE,
        )
    except Exception as error:  # JAX parses the environment of many launchers, and raises anything
        raise ValueError(
            f"--distributed: the other processes were not found: {error} ({awaited}). Where no launcher tells JAX of "
            "them, give --coordinator, --processes and --process"
        ) from None


def silence_others() -> None:
    """The first process speaks for all: what the library tells people is the same everywhere."""
    import jax

    if jax.process_index():
        logging.getLogger("actionclip_jax").setLevel(logging.ERROR)


def check_place(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not say where the processes are."""
    place = (options.coordinator, options.processes, options.process)
    if any(value is not None for value in place) and (not options.distributed or None in place):
        raise ValueError("--coordinator, --processes and --process go together, and with --distributed")
    if options.coordinator is None:
        return
    address = re.fullmatch(r"(\[[^\]]+\]|[^:\s/]+):(\d{1,5})", options.coordinator)
    if not address or not 0 < int(address[2]) < 1 << 16:
        raise ValueError(
            f"--coordinator is {options.coordinator!r}: expected HOST:PORT, with a port from 1 to {(1 << 16) - 1}"
        )
    if options.process >= options.processes:
        raise ValueError(
            f"--process is {options.process}: of {options.processes} (--processes) they count from 0 to "
            f"{options.processes - 1}"
        )


def describe_awaited(options: argparse.Namespace) -> str:
    """Which processes are to come together, as the options or the environment say."""
    if options.coordinator:
        return f"{options.processes} at {options.coordinator}, of which this is number {options.process}"
    variables = [f"{name}={os.environ[name]}" for name in ENVIRONMENT if name in os.environ]
    return ", ".join(variables) or "no launcher has told of any"


def connect(coordinator: str | None, processes: int | None, process: int | None, *, timeout: int) -> None:
    """Waits until all processes are there."""
    import jax

    jax.distributed.initialize(
        coordinator,
        processes,
        process,
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=SHUTDOWN_SECONDS,
    )


def end(message: str, code: int) -> NoReturn:
    """Ends this process, with a message with markup: Python's usual end would wait for the processes that are lost."""
    terminal.tell(message)
    sys.stderr.flush()
    os._exit(code)


def part() -> None:
    """Waits until all processes have done their work: the first writes reports, however long that takes."""
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("the end")


def give_up(error: Exception) -> None:
    """Ends one of several processes that lost another; raises the error where there is only one."""
    import jax

    if jax.process_count() == 1:
        raise error
    end(f"[bold red]a process of this run was lost:[/] {terminal.escape(str(error).splitlines()[0])}", 1)
