"""ActionCLIP (arXiv 2109.08472): video and label text in one embedding space."""

import contextlib
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from actionclip_jax import config, entry_points
from actionclip_jax.models import clip, own_heads, temporal


def unit_norm(x: jax.Array) -> jax.Array:
    """[..., E] -> [..., E] of length 1, in float32."""
    x = x.astype(jnp.float32)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class ActionClip(nnx.Module):
    """Two CLIP towers and a temporal head. Dropout and stochastic depth act only where a key is given."""

    def __init__(
        self, model: config.ModelConfig, compute: config.ComputeConfig = config.ComputeConfig(), *, rngs: nnx.Rngs
    ) -> None:
        config.checked_model(model, compute)
        self.compute = compute
        self.image = clip.ImageTower(model, compute, rngs=rngs)
        self.text = clip.TextTower(model, compute, rngs=rngs)
        self.temporal = temporal.make(model, compute, rngs=rngs)
        self.own_head = model.temporal.head if entry_points.is_name(model.temporal.head) else None
        # CLIP's first values, or SigLIP's (arXiv 2303.15343): to a sigmoid nearly all pairs of a batch are negative
        self.logit_scale = nnx.Param(jnp.full((), math.log(10 if model.logit_bias else 1 / 0.07), jnp.float32))
        self.logit_bias = nnx.Param(jnp.full((), -10, jnp.float32)) if model.logit_bias else None

    def encode_frames(self, frames: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Frames [B, T, S, S, 3] of 0..255 -> float32 features [B, T, E] ([B, 1, E] with joint attention)."""
        with self.precision():
            return self.image(clip.normalize(frames, self.image.model.image), key).astype(jnp.float32)

    @jax.named_scope("temporal")
    def encode_clip(self, features: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Frame features [B, T, E] -> float32 clip features [B, E], not normalised."""
        with self.precision():
            if self.own_head:
                return own_heads.join(self.own_head, self.temporal, features, key)
            return self.temporal(features, key)

    def encode_video(self, frames: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """uint8 [B, T, S, S, 3] -> float32 [B, E] of unit norm."""
        keys = (None, None) if key is None else jax.random.split(key)
        return self.join_frames(self.encode_frames(frames, keys[0]), keys[1])

    def join_frames(self, features: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Frame features [B, T, E] -> float32 [B, E] of unit norm."""
        return unit_norm(self.encode_clip(features, key))

    def encode_text(self, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Token ids [N, L] -> float32 [N, E] of unit norm."""
        with self.precision():
            return unit_norm(self.text(tokens, key))

    def logits(self, video: jax.Array, text: jax.Array) -> jax.Array:
        """Unit-norm [B, E] and [N, E] -> scaled similarities [B, N], with the bias of a model that has one."""
        scaled = jnp.exp(self.logit_scale[...]) * jnp.matmul(video, text.T, precision="highest")
        return scaled if self.logit_bias is None else scaled + self.logit_bias[...]

    def precision(self) -> contextlib.AbstractContextManager:
        """GPUs and TPUs multiply float32 in fewer bits unless told not to; who asks for float32 wants all of them."""
        return jax.default_matmul_precision("highest" if self.compute.dtype == "float32" else "default")


def abstract(model: config.ModelConfig, compute: config.ComputeConfig) -> ActionClip:
    """The model with shapes in place of arrays: costs no memory."""
    return nnx.eval_shape(lambda: ActionClip(model, compute, rngs=nnx.Rngs(0)))


def named_params(module: nnx.Module) -> dict[str, jax.Array]:
    """A module's parameters by path, `image/blocks/attn/qkv/kernel`."""
    return traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(module, nnx.Param)), sep="/")


def param_shapes(model: config.ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's parameters by path. Raises ValueError for a temporal head of the user's that cannot work."""
    hashable: Any = model  # checkers are not told that settings are frozen
    return dict(_param_shapes(hashable))


@functools.lru_cache(maxsize=8)  # tracing takes a second of every start, and several ask
def _param_shapes(model: config.ModelConfig) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if entry_points.is_name(model.temporal.head):
        own_heads.check(model)
    params = named_params(abstract(model, config.ComputeConfig()))
    return tuple((path, leaf.shape) for path, leaf in params.items())


def from_params(
    model: config.ModelConfig, compute: config.ComputeConfig, params: Mapping[str, np.ndarray | jax.Array]
) -> ActionClip:
    """The model with the given parameters by path."""
    graph, state = nnx.split(abstract(model, compute))
    nnx.replace_by_pure_dict(state, traverse_util.unflatten_dict(jax.tree.map(jnp.asarray, dict(params)), sep="/"))
    return nnx.merge(graph, state)
