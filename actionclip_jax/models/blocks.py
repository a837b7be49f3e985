"""Transformer blocks shared by all towers, and running a stack of them: what is saved for the backward pass."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import sharding, xla
from actionclip_jax.models import attention, layers

Stack = TypeVar("Stack", bound=nnx.Module)


def keep(*names: str) -> Callable[..., bool]:
    """The policy that keeps what has these names, and what cuDNN's attention needs for its backward pass."""
    return jax.checkpoint_policies.save_from_both_policies(
        jax.checkpoint_policies.save_only_these_names(*names),
        lambda primitive, *_, **__: primitive.name.startswith("dot_product_attention_fwd"),
    )


# What a block saves for the backward pass, but for `everything`: without a policy. The rest is computed again.
# Memory falls and time grows down the list.
REMAT_POLICIES = {
    "dots": keep("qkv", "attended", "out", "mlp"),
    "qkv_and_mlp": keep("qkv", "attended", "mlp"),
    "attention_output": keep("attended"),
    "nothing": jax.checkpoint_policies.nothing_saveable,
}


class Block(nnx.Module):
    """A pre-norm transformer block with stochastic depth."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        self.ln_1 = layers.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.attn = attention.Attention(spec, rngs=rngs)
        self.ln_2 = layers.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.mlp = layers.Mlp(spec, rngs=rngs)

    @jax.named_scope("block")
    def __call__(self, x: jax.Array, drop_path_rate: jax.Array, key: jax.Array | None) -> jax.Array:
        """[B, L, D] -> [B, L, D]; no key, nothing is dropped."""
        keys = (None, None) if key is None else jax.random.split(key)
        x = x + layers.drop_path(self.attn(self.ln_1(x)), drop_path_rate, keys[0])
        return x + layers.drop_path(self.mlp(self.ln_2(x)), drop_path_rate, keys[1])


def stack_blocks(make: Callable[[nnx.Rngs], Stack], depth: int, rngs: nnx.Rngs) -> Stack:
    """One module whose parameters carry a leading layer axis of size `depth`."""
    return jax.vmap(make)(rngs.split(depth))


def run_blocks(
    blocks: nnx.Module,
    x: jax.Array,
    spec: layers.TransformerSpec,
    *,
    key: jax.Array | None = None,
    before: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> jax.Array:
    """Runs stacked blocks one after the other: [B, L, D] -> [B, L, D]; `before` changes the input of each."""
    x = sharding.spread_rows(x)

    def run_block(x: jax.Array, layer: tuple) -> tuple[jax.Array, None]:
        block, rate, key = layer
        return sharding.spread_rows(block(before(x), rate, key)), None

    scanned = spec.compute.layers == "scan" or (spec.compute.layers == "auto" and xla.platform() == "cpu")
    step = run_block
    if spec.compute.remat != "everything":
        step = jax.checkpoint(run_block, policy=REMAT_POLICIES[spec.compute.remat], prevent_cse=not scanned)
    keys = None if key is None else jax.random.split(key, spec.depth)
    stacked = (blocks, jnp.linspace(0.0, spec.drop_path, spec.depth), keys)
    if scanned:
        return jax.lax.scan(step, x, stacked)[0]
    leaves, structure = jax.tree.flatten(stacked)
    # split rather than indexed: the gradient of a split is one concatenation, that of indexing a sum of padded stacks
    for layer in zip(*(jnp.split(leaf, spec.depth) for leaf in leaves), strict=True):
        x, _ = step(x, structure.unflatten(leaf[0] for leaf in layer))
    return x
