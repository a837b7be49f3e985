"""Attention pooling: a learned probe reads a frame's feature from all its tokens (arXiv 1810.00825)."""

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax.models import attention, layers, norm


class AttentionPool(nnx.Module):
    """What the probe sees of the tokens, and an MLP of that beside it, as SigLIP and Perception Encoder have it."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        self.probe = nnx.Param(nnx.initializers.normal(spec.width**-0.5)(rngs.params(), (spec.width,)))
        self.attn = attention.Attention(spec, rngs=rngs)
        self.ln = norm.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.mlp = layers.Mlp(spec, rngs=rngs)

    @jax.named_scope("pool")
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, L, D] -> [B, D]."""
        probe = jnp.broadcast_to(self.probe[...].astype(x.dtype), (x.shape[0], 1, x.shape[-1]))
        seen = self.attn.look(probe, x, last=x.shape[1] - 1)
        return (seen + self.mlp(self.ln(seen)))[:, 0]
