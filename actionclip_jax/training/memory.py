"""Whether a training step fits into the memory there is, found out by compiling it."""

import dataclasses
import logging
import os
import pathlib
import re

import jax

from actionclip_jax import config, sharding, xla
from actionclip_jax.training import expected

logger = logging.getLogger(__name__)

MACHINE = pathlib.Path("/proc/meminfo")  # of Linux
CONTAINER = pathlib.Path("/sys/fs/cgroup")


def fit(run: config.TrainConfig, share: float) -> config.TrainConfig:
    """The run with its batch encoded in as many parts as it takes to fit into that share of the memory; it is said.

    The loss stays that of the whole batch, so memory does not decide the result. `run.data.expect` describes the data.

    Raises:
        ValueError: not even the smallest part fits.
    """
    mesh = sharding.make_mesh(fsdp=run.sharding.fsdp, model=run.sharding.model)
    available = available_bytes(mesh)
    if available is None:
        logger.info("this device does not say how much memory it has, so the batch was not tried")
        return run
    for parts in possible_parts(run.data.loader.batch_size, sharding.batch_shards(mesh)):
        tried = dataclasses.replace(run, optim=dataclasses.replace(run.optim, accumulate=parts))
        wanted = wanted_bytes(tried, mesh)
        rows = run.data.loader.batch_size // parts
        needs = "more memory than there is" if wanted is None else f"{wanted / 2**30:.2f} GiB"
        at_once = f"a step with {rows} clips at once needs {needs}, of {available / 2**30:.2f} GiB available"
        if wanted is not None and wanted <= share * available:
            logger.info(at_once if parts == 1 else f"{at_once}: the batch is encoded in {parts} parts")
            return tried
        logger.info(f"{at_once}, of which {share:.0%} may be used: too much")
    raise ValueError(
        "not even the smallest part of a batch fits into memory: train fewer parameters (--freeze), fewer frames "
        "(--frames), in bfloat16 (--dtype bfloat16), or on a larger device"
    )


def possible_parts(batch_size: int, shards: int) -> list[int]:
    """Into how many equal parts a batch can be divided, each at least twice the one before, for so many devices."""
    parts: list[int] = []
    for count in range(1, batch_size + 1):
        if batch_size % (count * shards) == 0 and (not parts or count >= 2 * parts[-1]):
            parts.append(count)
    return parts


def wanted_bytes(run: config.TrainConfig, mesh: jax.sharding.Mesh) -> int | None:
    """Bytes a step needs on each device, or of CPU devices, which share their memory, on all; None: too many."""
    with jax.set_mesh(mesh):
        try:
            step = expected.trace(run, mesh).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None
    shared = len(mesh.local_devices) if mesh.devices.flat[0].platform == "cpu" else 1
    return sum(xla.memory_by_kind(step).values()) * shared


def available_bytes(mesh: jax.sharding.Mesh) -> int | None:
    """Memory of each device, or where the CPU computes what is free of it now; None where nothing says it."""
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return free_bytes()
    return (device.memory_stats() or {}).get("bytes_limit")


def free_bytes() -> int:
    """Memory that a process may still take, of the machine or of the container it runs in."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if MACHINE.is_file() and (said := re.search(r"MemAvailable: *(\d+) kB", MACHINE.read_text())):
        free = int(said[1]) << 10
    most, used, kinds = (CONTAINER / name for name in ("memory.max", "memory.current", "memory.stat"))
    if most.is_file() and used.is_file() and kinds.is_file() and (limit := most.read_text().strip()) != "max":
        # what is kept of files that were read makes room when it is needed
        kept = sum(map(int, re.findall(r"^(?:in)?active_file (\d+)$", kinds.read_text(), re.MULTILINE)))
        free = min(free, max(0, int(limit) - int(used.read_text()) + kept))
    return free
