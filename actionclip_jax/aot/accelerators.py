"""Accelerators that need not be here: what they can do, and what XLA's compiler asks of them."""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    "v4": Accelerator(
        name="TPU v4",
        kinds=("TPU v4",),
        platform="tpu",
        memory=31.75 * GIB,
        peak=275e12,
        link=300e9,
        network=6.25e9,
        clock=1.05e9,
        options=MEGACORE,
    ),
    "v5e": Accelerator(
        name="TPU v5e",
        kinds=("TPU v5 lite",),
        platform="tpu",
        memory=15.75 * GIB,
        peak=197e12,
        link=200e9,
        network=6.25e9,
        clock=1.5e9,
    ),
    "v5p": Accelerator(
        name="TPU v5p",
        kinds=("TPU v5", "TPU v5p"),
        platform="tpu",
        memory=95.74 * GIB,
        peak=459e12,
        link=600e9,
        network=6.25e9,
        clock=1.75e9,
    ),
    "v6e": Accelerator(
        name="TPU v6e",
        kinds=("TPU v6 lite",),
        platform="tpu",
        memory=31.25 * GIB,
        peak=918e12,
        link=400e9,
        network=12.5e9,
        clock=1.75e9,
    ),
    "a100": Accelerator(
        name="A100",
        kinds=("NVIDIA A100-SXM4-80GB",),
        platform="gpu",
        memory=71 * GIB,
        peak=312e12,
        link=300e9,
        network=25e9,
        float32_peak=19.5e12,
        options=AMPERE,
    ),
    "h100": Accelerator(
        name="H100",
        kinds=("NVIDIA H100 80GB HBM3",),
        platform="gpu",
        memory=71 * GIB,
        peak=790e12,
        link=450e9,
        network=50e9,
        float32_peak=67e12,
        options=H100,
    ),
    "h200": Accelerator(
        name="H200",
        kinds=("NVIDIA H200",),
        platform="gpu",
        memory=125 * GIB,
        peak=790e12,
        link=450e9,
        network=50e9,
        float32_peak=67e12,
        options=H200,
    ),
}
