"""Devices that need not be here, as XLA compiles for them."""

import dataclasses
import math
import os
import re
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from actionclip_jax.aot import accelerators

FORMS = "v4|v5e|v5p|v6e:4x4 (chips along each axis), a100|h100|h200:8 or :8x2 (GPUs of a host x hosts), or here"


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind and how they hang together."""

    name: str
    accelerator: accelerators.Accelerator
    devices: Sequence[jax.Device]
    hosts: int


def describe(name: str, slices: int = 1) -> Topology:
    """The devices of `v5e:4x4`, `h200:8x2` or `here`, in so many TPU slices, for `sharding.make_mesh`.

    Raises:
        ValueError: no such devices, or their compiler is not installed.
    """
    kind, _, layout = name.partition(":")
    if kind == "here" and not layout:
        if slices > 1:
            raise ValueError("--slices is of TPUs that are not here, not of --topology here")
        return devices_here()
    if kind not in accelerators.ACCELERATORS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", layout):
        raise ValueError(f"--topology {name!r}: expected {FORMS}")
    accelerator, sizes = accelerators.ACCELERATORS[kind], [int(size) for size in layout.split("x")]
    devices = (tpus if accelerator.platform == "tpu" else gpus)(kind, accelerator, sizes, slices)
    return Topology(name, accelerator, devices, len({device.process_index for device in devices}))


def devices_here() -> Topology:
    """The devices of this machine, of which XLA says the memory, and this table what it knows of their kind."""
    devices = jax.devices()
    kind = devices[0].device_kind
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / len(devices)  # of a CPU, that of the machine
    if (stats := devices[0].memory_stats()) and "bytes_limit" in stats:
        memory = stats["bytes_limit"]
    unknown = accelerators.Accelerator(
        name=kind,
        kinds=(kind,),
        platform=devices[0].platform,
        memory=memory,
        peak=math.inf,
        link=math.inf,
        network=math.inf,
    )
    known = (accelerator for accelerator in accelerators.ACCELERATORS.values() if kind in accelerator.kinds)
    accelerator = dataclasses.replace(next(known, unknown), memory=memory)
    return Topology("here", accelerator, devices, jax.process_count())


def tpus(kind: str, accelerator: accelerators.Accelerator, sizes: Sequence[int], slices: int) -> list[jax.Device]:
    """TPU chips that are not here, as libtpu describes them."""
    layout, options = "x".join(map(str, sizes)), dict(accelerator.options)
    if kind in ("v5e", "v6e") and layout in ("1x1", "2x4"):  # the machine types of one host with 1 and 8 chips
        options["chips_per_host_bounds"] = (*sizes, 1)
    if slices > 1:
        options["num_slices"] = slices
    # libtpu looks for the machine it would run on, which would take minutes and end in warnings
    for variable, value in (("TPU_WORKER_HOSTNAMES", "localhost"), ("TPU_SKIP_MDS_QUERY", "1")):
        os.environ.setdefault(variable, value)
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    try:
        return list(topologies.get_topology_desc(f"{kind}:{layout}", "tpu", **options).devices)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0].partition(": ")[2]
        raise ValueError(f"--topology {kind}:{layout}: {reason}") from None
    except (RuntimeError, ImportError, NotImplementedError) as error:
        raise ValueError(
            f"--topology {kind}: TPU's compiler, the package libtpu, cannot be used ({error}); pip install 'jax[tpu]'"
        ) from None


def gpus(kind: str, accelerator: accelerators.Accelerator, sizes: Sequence[int], slices: int) -> list[jax.Device]:
    """GPUs that are not here: hosts of so many."""
    if slices > 1 or len(sizes) > 2:
        raise ValueError(f"--topology {kind}: GPUs are given as a host's number x hosts, and have no slices")
    hosts = sizes[1] if len(sizes) == 2 else 1
    target = accelerators.GPU_TARGET.format(name=accelerator.kinds[0], **dict(accelerator.options))
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    try:
        description = topologies.get_topology_desc("", "cuda", target_config=target, topology=f"{hosts}x1x{sizes[0]}")
    except (RuntimeError, ImportError, NotImplementedError) as error:
        raise ValueError(
            f"--topology {kind}: XLA's compiler for NVIDIA GPUs cannot be used ({error}); pip install 'jax[cuda13]'"
        ) from None
    return list(description.devices)
