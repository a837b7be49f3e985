"""What XLA is told, and what it says of its results."""

import jax


def platform() -> str:
    """Where what is being traced will run: on the mesh that is set, whose devices need not be here."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return device.platform if device else jax.default_backend()


def has_flash_attention() -> bool:
    """Whether cuDNN has flash attention for the GPU that is computed on: NVIDIA's from Ampere on."""
    if jax.default_backend() != "gpu":  # compiling ahead for one of `hardware.py`, which all have it
        return True
    device = jax.local_devices()[0]
    return "NVIDIA" in device.device_kind and float(device.compute_capability) >= 8


def options(dtype: str) -> dict[str, str]:
    """Options for `jax.jit(..., compiler_options=...)` of an encoder computing in `dtype`. Each was measured to pay."""
    if platform() == "cpu" and dtype == "float32":
        # By default XLA hands all products to YNNPACK, whose large float32 ones take 1.15 times as long as Eigen's.
        # Fusions that may start only at a reduction leave those to Eigen and keep attention one fused kernel.
        return {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    return {}


def describe_memory(step: jax.stages.Compiled) -> str:
    """What the compiled step needs on every device."""
    memory = step.memory_analysis()
    if memory is None:
        return "the compiler does not say how much memory a step needs"
    kept, temporary = (size / 2**20 for size in (memory.argument_size_in_bytes, memory.temp_size_in_bytes))
    return f"a step needs {kept:.0f} MiB of state and data and {temporary:.0f} MiB of temporaries on each"
