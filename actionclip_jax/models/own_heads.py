"""Temporal heads of the user's own, named `package.module:Name` in the settings.

One is a class, or another function of `(model, compute, *, rngs)`, that gives a Flax NNX module with
`__call__(x, key=None)`: [B, T, E] -> [B, E]. All that is wrong with one is a ValueError before anything compiles.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from actionclip_jax import config, entry_points

SETTING = "model.temporal.head"


def make(model: config.ModelConfig, compute: config.ComputeConfig, *, rngs: nnx.Rngs) -> nnx.Module:
    """The head that the model names. Raises ValueError."""
    name = model.temporal.head
    kind = entry_points.load(name, SETTING)
    if not callable(kind):
        raise ValueError(
            f"{SETTING} is {name!r}: a {type(kind).__name__}, expected a class of (model, compute, *, rngs)"
        )
    head = entry_points.call(f"{SETTING} {name}: making it", kind, model, compute, rngs=rngs)
    if not isinstance(head, nnx.Module):
        raise ValueError(f"{SETTING} is {name!r}: makes a {type(head).__name__}, expected a flax.nnx.Module")
    check_state(name, head)
    return head


def check_state(name: str, head: nnx.Module) -> None:
    """Raises ValueError for arrays that are no parameters: nothing would train, save or restore them."""
    problems = []
    for path, value in nnx.iter_graph(head):
        place = ".".join(map(str, path))
        if isinstance(value, jax.Array | np.ndarray):
            problems.append(f"{place} is a plain array, expected nnx.Param: constants are made where they are used")
        elif isinstance(value, nnx.Variable) and not isinstance(value, nnx.Param):
            problems.append(f"{place} is a {type(value).__name__}, expected nnx.Param")
        elif isinstance(value, nnx.Param) and value.dtype != jnp.float32:
            problems.append(f"{place} is {value.dtype}, expected float32: it may be converted where it is used")
    if problems:
        raise ValueError("\n  ".join([f"{SETTING} {name}: what it holds cannot be trained and saved:", *problems]))


def join(name: str, head: nnx.Module, features: jax.Array, key: jax.Array | None) -> jax.Array:
    """Frame features [B, T, E] -> float32 [B, E] by the head. Raises ValueError, as it is traced, for anything else."""
    shape = (features.shape[0], features.shape[2])
    joined = entry_points.call(f"{SETTING} {name}: called for x {features.shape}", head, features, key)
    dtype = getattr(joined, "dtype", np.dtype(object))
    if getattr(joined, "shape", None) != shape or not jnp.issubdtype(dtype, jnp.floating):
        given = f"{dtype} {joined.shape}" if hasattr(joined, "shape") else type(joined).__name__
        raise ValueError(f"{SETTING} {name}: makes {given} of x {features.shape}, expected floating-point {shape}")
    return joined.astype(jnp.float32)


def check(model: config.ModelConfig) -> None:
    """Raises ValueError unless the head takes clips of the model's frames, when testing and when training."""
    features = jax.ShapeDtypeStruct((2, model.frames, model.embed_width), jnp.float32)

    def trace(features: jax.Array, key: jax.Array | None) -> jax.Array:
        head = make(model, config.ComputeConfig(), rngs=nnx.Rngs(0))
        return join(model.temporal.head, head, features, key)

    jax.eval_shape(lambda x: trace(x, None), features)
    jax.eval_shape(lambda x: trace(x, jax.random.key(0)), features)
