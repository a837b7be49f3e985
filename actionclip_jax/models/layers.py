"""What transformer blocks are made of beside attention: their shape, products, norm, MLP, and what drops at random."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from actionclip_jax import config, xla

ACTIVATIONS = {
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
}


@dataclasses.dataclass(frozen=True)
class TransformerSpec:
    """Shape and flavour of one stack of blocks."""

    width: int
    depth: int
    heads: int
    activation: str
    norm_eps: float
    compute: config.ComputeConfig
    mlp_width: int = 0  # 4 x width unless given
    causal: bool = False
    drop_path: float = 0.0
    dropout: float = 0.0
    plain_init: bool = False  # of a new temporal head: N(0, 0.02), Xavier for qkv; else CLIP's depth-scaled normals

    @property
    def head_width(self) -> int:
        """Features of a head."""
        return self.width // self.heads

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of activations and matrix products."""
        return jnp.dtype(self.compute.dtype)

    def initializer(self, layer: str) -> nnx.Initializer:
        """Kernel initialiser of `qkv`, `out`, `fc` or `proj` (openai/CLIP model.py; spec of the temporal heads)."""
        if self.plain_init:
            return nnx.initializers.xavier_uniform() if layer == "qkv" else nnx.initializers.normal(0.02)
        residual = self.width**-0.5 * (2 * self.depth) ** -0.5
        deviation = {"qkv": self.width**-0.5, "out": residual, "fc": (2 * self.width) ** -0.5, "proj": residual}
        return nnx.initializers.normal(deviation[layer])


def dot_general(lhs: jax.Array, rhs: jax.Array, *args: Any, **options: Any) -> jax.Array:
    """`jax.lax.dot_general`. XLA has fast bfloat16 products for CPUs (AMX) only where the result is float32."""
    if lhs.dtype == jnp.bfloat16 and xla.platform() == "cpu":
        options["preferred_element_type"] = jnp.float32
    return jax.lax.dot_general(lhs, rhs, *args, **options).astype(lhs.dtype)


def project(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """[..., D], [D, F] and [F] -> [..., F] in the dtype of x.

    With heads side by side in F: a GPU's products add such a bias themselves, and a TPU's lanes are full of features.
    """
    contracted = (((x.ndim - 1,), (0,)), ((), ()))
    return dot_general(x, kernel.astype(x.dtype), contracted) + bias.astype(x.dtype)


class Mlp(nnx.Module):
    """Two linear layers with an activation between."""

    def __init__(self, spec: TransformerSpec, *, rngs: nnx.Rngs) -> None:
        hidden = spec.mlp_width or 4 * spec.width
        linear = functools.partial(nnx.Linear, dot_general=dot_general, dtype=spec.dtype, rngs=rngs)
        self.activation = spec.activation
        self.fc = linear(spec.width, hidden, kernel_init=spec.initializer("fc"))
        self.proj = linear(hidden, spec.width, kernel_init=spec.initializer("proj"))

    @jax.named_scope("mlp")
    def __call__(self, x: jax.Array, dropout_rate: float = 0.0, key: jax.Array | None = None) -> jax.Array:
        """[..., D] -> [..., D]; a key turns on dropout between the layers."""
        hidden = ACTIVATIONS[self.activation](checkpoint_name(self.fc(x), "mlp"))
        return self.proj(dropout(hidden, dropout_rate, key))


def pick_token(x: jax.Array, place: int | jax.Array) -> jax.Array:
    """One token of each row, [B, L, D] -> [B, 1, D], at a place that is the same for all rows or int32 [B]."""
    if isinstance(place, int):
        return x[:, place : place + 1]
    return jnp.take_along_axis(x, place[:, None, None], axis=1)


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Zeroes elements with probability `rate` and scales up the rest; unchanged without a key."""
    if key is None or not rate:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0).astype(x.dtype)


def drop_path(x: jax.Array, rate: jax.Array, key: jax.Array | None) -> jax.Array:
    """Stochastic depth (arXiv 1603.09382): zeroes the whole residual branch of an example of x [B, ...]."""
    if key is None:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(kept, x / (1 - rate), 0).astype(x.dtype)
