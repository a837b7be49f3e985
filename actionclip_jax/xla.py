"""What XLA is told, what it says of its results, and how fast it multiplies."""

import os
import re
import time

import jax
import jax.numpy as jnp

Option = str | int | bool

# By default XLA hands all products to YNNPACK, whose large float32 ones take 1.15 times as long as Eigen's. Fusions
# that may start only at a reduction leave those to Eigen and keep attention one fused kernel.
CPU_FLOAT32: dict[str, Option] = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
# A product whose result is to be spread over devices is cut into steps that exchange a part each, however small: on
# v5e:4x4, with the optimizer spread over data, a step is estimated at 112.6 instead of 123.0 ms without. Only above so
# many MiB:
TPU: dict[str, Option] = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}
# In several slices a round of the backward pass is taken out of its loop to hide what slices exchange in it, which they
# no longer do: see `training.slices`. Its effect was not measured by itself.
TPU_SLICES: dict[str, Option] = {"xla_tpu_enable_collective_pipeliner": False}
# Gradients travel while the backward pass still computes; those of ViT-B/16 (600 MB) in five large pieces, of which all
# but the last can hide. Not measured yet.
GPUS: dict[str, Option] = {
    "xla_gpu_enable_latency_hiding_scheduler": True,
    "xla_gpu_all_reduce_combine_threshold_bytes": 128 << 20,
}
# There is no GPU to try kernels on: those that need no trying.
GPU_ELSEWHERE: dict[str, Option] = {
    "xla_gpu_autotune_level": 0,
    "xla_gpu_shard_autotuning": False,
    "xla_gpu_enable_triton_gemm": False,
}


def platform() -> str:
    """Where what is being traced will run: on the mesh that is set, whose devices need not be here."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device else jax.default_backend()


def has_flash_attention() -> bool:
    """Whether cuDNN has flash attention for the GPU that is computed on: NVIDIA's from Ampere on."""
    if jax.default_backend() != "gpu":  # compiling ahead for one of `aot.topologies`, which all have it
        return True
    device = jax.local_devices()[0]
    return "NVIDIA" in device.device_kind and float(device.compute_capability) >= 8


def check_attention(attention: str) -> None:
    """Raises ValueError unless this `config.compute.attention` can run where what is being traced will."""
    needed = {"cudnn": ("gpu",), "pallas": ("tpu", "cpu")}  # on a CPU it is interpreted: slow, and the same
    if attention in needed and platform() not in needed[attention]:
        raise ValueError(
            f"attention {attention} needs {'an NVIDIA GPU' if attention == 'cudnn' else 'a TPU'}, and JAX computes on "
            f"{platform()} here"
        )


def options(dtype: str) -> dict[str, Option]:
    """Options for `jax.jit(..., compiler_options=...)` of what computes in `dtype` on the mesh that is set.

    What XLA_FLAGS or LIBTPU_INIT_ARGS name is left out: who sets these wins.
    """
    mesh, chosen = jax.sharding.get_abstract_mesh(), {}
    if platform() == "cpu" and dtype == "float32":
        chosen = CPU_FLOAT32
    elif platform() == "tpu":
        chosen = TPU | (TPU_SLICES if mesh.shape.get("slice", 1) > 1 else {})
    elif platform() == "gpu":
        chosen = (GPUS if mesh.size > 1 else {}) | (GPU_ELSEWHERE if jax.default_backend() != "gpu" else {})
    given = " ".join(os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS"))
    return {name: value for name, value in chosen.items() if not re.search(rf"--{name}\b", given)}


def memory_by_kind(step: jax.stages.Compiled) -> dict[str, int]:
    """Bytes a compiled step needs on every device; nothing where the compiler does not say. Their sum is the peak.

    `arguments` are state and data, `results` what is not written over them, `temporaries` the most there is at a time.
    """
    memory = step.memory_analysis()
    if memory is None:
        return {}
    return {
        "arguments": memory.argument_size_in_bytes,
        "results": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
    }


def describe_memory(step: jax.stages.Compiled) -> str:
    """What the compiled step needs on every device, as a sentence."""
    memory = memory_by_kind(step)
    if not memory:
        return "the compiler does not say how much memory a step needs"
    kept, temporary = (memory[kind] / 2**20 for kind in ("arguments", "temporaries"))
    return f"a step needs {kept:.0f} MiB of state and data and {temporary:.0f} MiB of temporaries on each"


def faster_dtype() -> str:
    """`bfloat16` where a large product in it is at least half as fast again as in float32, else `float32`.

    Norms and softmax are float32 either way, and rounding costs time: a little faster is not enough.
    """
    return "bfloat16" if matmul_rate("bfloat16") >= 1.5 * matmul_rate("float32") else "float32"


def matmul_rate(dtype: str) -> float:
    """FLOP/s of a device in a large matrix product: what model FLOP utilisation is measured by.

    Of random numbers: a GPU at its power limit multiplies ones faster than anything a model has.
    """
    size = 2048 if jax.default_backend() == "cpu" else 8192
    square = jax.random.normal(jax.random.key(0), (size, size), dtype)
    precision = "highest" if dtype == "float32" else None
    multiply = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    seconds = []
    for _ in range(4):  # the first one compiles
        start = time.perf_counter()
        multiply(square).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
