"""Accelerators that need not be here: what they can do, and descriptions of them that XLA compiles for."""

import dataclasses
import math
import os
import re
from collections.abc import Sequence

import jax
from jax.experimental import topologies

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One device as a program sees it. Sources: the makers' data sheets, and for `memory` of TPUs their compiler."""

    name: str
    kinds: tuple[str, ...]  # what JAX calls it
    platform: str
    memory: float  # bytes a program can have
    peak: float  # bfloat16 FLOP/s: of NVIDIA's what a large product was measured to reach, or the data sheet
    link: float  # bytes/s that a device sends to others of its slice (TPU) or host (GPU), over all its links
    network: float  # bytes/s that it sends beyond: its share of the host's network cards
    clock: float = 0.0  # Hz of the cycles that TPU's compiler counts
    float32_peak: float = 0.0  # FLOP/s
    options: tuple[tuple[str, object], ...] = ()  # of the description

    def peak_in(self, dtype: str) -> float:
        """FLOP/s of products. A TPU makes one of float32 from six of bfloat16 (JAX's precision "highest")."""
        return self.peak if dtype == "bfloat16" else self.float32_peak or self.peak / 6


MEGACORE = (("chip_config_name", "megacore"), ("chips_per_host_bounds", (2, 2, 1)))  # a device is a chip of two cores

# What XLA's compiler asks of an NVIDIA GPU: the values of the CUDA programming guide for these, and the data sheets'.
GPU_TARGET = """
platform_name: "CUDA"
device_description_str: "{name}"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
gpu_device_info {{
  name: "{name}"
  device_vendor: "NVIDIA Corporation"
  cuda_compute_capability {{ major: {major} minor: 0 }}
  core_count: {cores}
  clock_rate_ghz: {clock}
  fpus_per_core: {units}
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared}
  shared_memory_per_block_optin: {block_shared}
  l2_cache_size: {cache}
  memory_bandwidth: {bandwidth}
  device_memory_size: {memory}
  runtime_version: "12.8.0"
  driver_version: "13.0.0"
  compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0"
}}
"""
AMPERE = (("major", 8), ("units", 64), ("shared", 164 << 10), ("block_shared", 163 << 10), ("cache", 40 << 20))
AMPERE += (("cores", 108), ("clock", 1.41), ("bandwidth", 2_039_000_000_000), ("memory", 79 << 30))
HOPPER = (("major", 9), ("units", 128), ("shared", 228 << 10), ("block_shared", 227 << 10), ("cache", 50 << 20))
HOPPER += (("cores", 132), ("clock", 1.98))
H100 = (*HOPPER, ("bandwidth", 3_350_000_000_000), ("memory", 79 << 30))
H200 = (*HOPPER, ("bandwidth", 4_800_000_000_000), ("memory", 139 << 30))

# GPUs: 0.9 of their memory, as launch/environment.sh sets it.
ACCELERATORS = {
    "v4": Accelerator("TPU v4", ("TPU v4",), "tpu", 31.75 * GIB, 275e12, 300e9, 6.25e9, 1.05e9, options=MEGACORE),
    "v5e": Accelerator("TPU v5e", ("TPU v5 lite",), "tpu", 15.75 * GIB, 197e12, 200e9, 6.25e9, 1.5e9),
    "v5p": Accelerator("TPU v5p", ("TPU v5", "TPU v5p"), "tpu", 95.74 * GIB, 459e12, 600e9, 6.25e9, 1.75e9),
    "v6e": Accelerator("TPU v6e", ("TPU v6 lite",), "tpu", 31.25 * GIB, 918e12, 400e9, 12.5e9, 1.75e9),
    "a100": Accelerator("A100", ("NVIDIA A100-SXM4-80GB",), "gpu", 71 * GIB, 312e12, 300e9, 25e9, 0.0, 19.5e12, AMPERE),
    "h100": Accelerator("H100", ("NVIDIA H100 80GB HBM3",), "gpu", 71 * GIB, 790e12, 450e9, 50e9, 0.0, 67e12, H100),
    "h200": Accelerator("H200", ("NVIDIA H200",), "gpu", 125 * GIB, 790e12, 450e9, 50e9, 0.0, 67e12, H200),
}
FORMS = "v4|v5e|v5p|v6e:4x4 (chips along each axis), a100|h100|h200:8 or :8x2 (GPUs of a host x hosts), or here"


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind and how they hang together."""

    name: str
    accelerator: Accelerator
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
    if kind not in ACCELERATORS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", layout):
        raise ValueError(f"--topology {name!r}: expected {FORMS}")
    accelerator, sizes = ACCELERATORS[kind], [int(size) for size in layout.split("x")]
    devices = (tpus if accelerator.platform == "tpu" else gpus)(kind, accelerator, sizes, slices)
    return Topology(name, accelerator, devices, len({device.process_index for device in devices}))


def devices_here() -> Topology:
    """The devices of this machine, of which XLA says the memory, and this table what it knows of their kind."""
    devices = jax.devices()
    kind = devices[0].device_kind
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / len(devices)  # of a CPU, that of the machine
    if (stats := devices[0].memory_stats()) and "bytes_limit" in stats:
        memory = stats["bytes_limit"]
    unknown = Accelerator(kind, (kind,), devices[0].platform, memory, math.inf, math.inf, math.inf)
    known = (accelerator for accelerator in ACCELERATORS.values() if kind in accelerator.kinds)
    found = dataclasses.replace(next(known, unknown), memory=memory)
    return Topology("here", found, devices, jax.process_count())


def tpus(kind: str, accelerator: Accelerator, sizes: Sequence[int], slices: int) -> list[jax.Device]:
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


def gpus(kind: str, accelerator: Accelerator, sizes: Sequence[int], slices: int) -> list[jax.Device]:
    """GPUs that are not here: hosts of so many."""
    if slices > 1 or len(sizes) > 2:
        raise ValueError(f"--topology {kind}: GPUs are given as a host's number x hosts, and have no slices")
    hosts = sizes[1] if len(sizes) == 2 else 1
    target = GPU_TARGET.format(name=accelerator.kinds[0], **dict(accelerator.options))
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    try:
        found = topologies.get_topology_desc("", "cuda", target_config=target, topology=f"{hosts}x1x{sizes[0]}")
    except (RuntimeError, ImportError, NotImplementedError) as error:
        raise ValueError(
            f"--topology {kind}: XLA's compiler for NVIDIA GPUs cannot be used ({error}); pip install 'jax[cuda13]'"
        ) from None
    return list(found.devices)
