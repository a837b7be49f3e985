"""Compiler options that were measured to pay, with their reasons."""

import jax


def options(dtype: str) -> dict[str, str]:
    """Options for `jax.jit(..., compiler_options=...)` of an encoder computing in `dtype` on the default backend."""
    if jax.default_backend() == "cpu" and dtype == "float32":
        # By default XLA hands all products to YNNPACK, whose large float32 ones take 1.15 times as long as Eigen's.
        # Fusions that may start only at a reduction leave those to Eigen and keep attention one fused kernel.
        return {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    return {}
