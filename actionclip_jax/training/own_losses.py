"""Losses of the user's own, named `package.module:name` in the settings.

One is a function of unit-norm videos and texts [B, E], labels [B] int32 and the scale of their similarities; it gives
the loss and metrics by name, all scalars. It sees the whole batch, however many devices there are.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from actionclip_jax import entry_points

SETTING = "objective.loss"
TAKEN = ("loss", "learning_rate")  # groups of metrics that the program writes itself
Loss = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]


def compute(
    name: str, video: jax.Array, text: jax.Array, labels: jax.Array, scale: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss and its metrics. Raises ValueError, as it is traced, for anything but scalars."""
    with jax.named_scope("loss"):
        made = entry_points.call(f"{SETTING} {name}", entry_points.load(name, SETTING), video, text, labels, scale)
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[1], Mapping):
        raise ValueError(f"{SETTING} {name}: returns {describe(made)}, expected (loss, metrics by name)")
    loss, metrics = made
    problems = [] if is_scalar(loss) else [f"the loss is {describe(loss)}, expected a floating-point scalar"]
    for metric, value in metrics.items():
        group, slash, _ = str(metric).partition("/")
        if not slash or group in TAKEN:
            problems.append(f"the metric {metric!r}: expected a name like group/name, and no group of {TAKEN}")
        if not is_scalar(value):
            problems.append(f"the metric {metric!r} is {describe(value)}, expected a floating-point scalar")
    if problems:
        raise ValueError("\n  ".join([f"{SETTING} {name}:", *problems]))
    return loss.astype(jnp.float32), {metric: value.astype(jnp.float32) for metric, value in metrics.items()}


def check(name: str, batch_size: int, width: int) -> None:
    """Raises ValueError unless the loss of such a batch can be computed and differentiated; computes nothing."""
    features = jax.ShapeDtypeStruct((batch_size, width), jnp.float32)
    labels, scale = jax.ShapeDtypeStruct((batch_size,), jnp.int32), jax.ShapeDtypeStruct((), jnp.float32)

    def loss(video: jax.Array, text: jax.Array, labels: jax.Array, scale: jax.Array) -> tuple:
        return compute(name, video, text, labels, scale)

    jax.eval_shape(loss, features, features, labels, scale)
    gradient = jax.value_and_grad(loss, argnums=(0, 1, 3), has_aux=True)
    entry_points.call(f"{SETTING} {name}: its gradient", jax.eval_shape, gradient, features, features, labels, scale)


def is_scalar(value: object) -> bool:
    """Whether it is an array of shape () of floating-point numbers."""
    return getattr(value, "shape", None) == () and jnp.issubdtype(getattr(value, "dtype", int), jnp.floating)


def describe(value: object) -> str:
    """`float32 (8,)`, or the name of the type of what is no array."""
    return f"{value.dtype} {value.shape}" if isinstance(value, jax.Array) else type(value).__name__
