"""Layer normalisation with a derivative of its own."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis, computed in float32 and returned in the dtype of its input."""

    def __init__(self, width: int, eps: float, *, rngs: nnx.Rngs) -> None:
        self.scale = nnx.Param(nnx.initializers.ones(rngs.params(), (width,)))
        self.bias = nnx.Param(nnx.initializers.zeros(rngs.params(), (width,)))
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., D]."""
        return normalize(x, self.scale[...], self.bias[...], self.eps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
@jax.named_scope("norm")
def normalize(x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float) -> jax.Array:
    """(x - mean) / sqrt(variance + eps) * scale + bias over the last axis: [..., D], two [D] -> [..., D].

    Its derivative is written by hand so that x, in its own dtype, and two numbers of each row are all that is kept for
    the backward pass: XLA would keep float32 copies of x.
    """
    return normalize_and_keep(x, scale, bias, eps)[0]


@jax.named_scope("norm")
def normalize_and_keep(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The forward pass, with what the backward pass needs."""
    exact = x.astype(jnp.float32)
    mean = exact.mean(axis=-1, keepdims=True)
    if x.dtype == jnp.float32:
        variance = jnp.square(exact - mean).mean(axis=-1, keepdims=True)
    else:
        # one pass over x instead of two; E[x^2] - E[x]^2 loses digits, but fewer than x has lost by its rounding
        variance = jnp.maximum(jnp.square(exact).mean(axis=-1, keepdims=True) - jnp.square(mean), 0)
    mean, inverse = (checkpoint_name(one, "statistics") for one in (mean, jax.lax.rsqrt(variance + eps)))
    return ((exact - mean) * inverse * scale + bias).astype(x.dtype), (x, mean, inverse, scale)


@jax.named_scope("norm")
def normalize_backward(
    eps: float, kept: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of x [..., D], scale and bias [D]."""
    x, mean, inverse, scale = kept
    gradient = gradient.astype(jnp.float32)
    normal = (x.astype(jnp.float32) - mean) * inverse
    of_normal = gradient * scale
    along = of_normal.mean(axis=-1, keepdims=True) + normal * (of_normal * normal).mean(axis=-1, keepdims=True)
    rows = tuple(range(x.ndim - 1))
    return (
        (inverse * (of_normal - along)).astype(x.dtype),
        (gradient * normal).sum(axis=rows),
        gradient.sum(axis=rows),
    )


normalize.defvjp(normalize_and_keep, normalize_backward)
