"""Transformer blocks shared by all towers, and running a stack of them: what is saved for the backward pass."""

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from actionclip_jax import sharding, xla
from actionclip_jax.models import attention, layers, norm

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
    "dots": keep("qkv", "attended", "out", "mlp", "statistics"),
    "qkv_and_mlp": keep("qkv", "attended", "mlp", "statistics"),
    "attention_output": keep("attended"),
    "nothing": jax.checkpoint_policies.nothing_saveable,
}


class Block(nnx.Module):
    """A pre-norm transformer block with stochastic depth."""

    def __init__(self, spec: layers.TransformerSpec, *, rngs: nnx.Rngs) -> None:
        self.ln_1 = norm.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.attn = attention.Attention(spec, rngs=rngs)
        self.ln_2 = norm.LayerNorm(spec.width, spec.norm_eps, rngs=rngs)
        self.mlp = layers.Mlp(spec, rngs=rngs)

    @jax.named_scope("block")
    def __call__(
        self,
        x: jax.Array,
        drop_path_rate: jax.Array,
        key: jax.Array | None,
        *,
        length: int | None = None,
        read: int | jax.Array | None = None,
        turns: jax.Array | None = None,
    ) -> jax.Array:
        """[B, L, D] -> [B, L, D], or with `read` one token of each row, [B, 1, D]; no key, nothing is dropped.

        Tokens from `length` on are padding. With `turns` queries and keys turn: see `rotary`.
        """
        keys = (None, None) if key is None else jax.random.split(key)
        attended = self.attn(self.ln_1(x), length=length, read=read, turns=turns)
        x = x if read is None else layers.pick_token(x, read)
        x = x + layers.drop_path(attended, drop_path_rate, keys[0])
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
    read: int | jax.Array | None = None,
    turns: jax.Array | None = None,
) -> jax.Array:
    """Runs stacked blocks one after the other: [B, L, D] -> [B, L, D]; `before` changes the input of each.

    With `read` only that token of each row comes out, [B, D] (see `layers.pick_token`): the last block computes keys
    and values of all tokens, and everything else of this one alone. With `turns`, [2, L, K / 2] or [2, B, L, K / 2],
    queries and keys turn in each: see `rotary`.
    """
    length = x.shape[1]
    more = attention.padding(spec, length, dropping=key is not None)
    x = sharding.spread_rows(pad_tokens(x, more))
    sequence = {"length": length} if turns is None else {"length": length, "turns": pad_tokens(turns, more)}
    if xla.platform() == "gpu":
        # the gradient of the positions is a sum over rows, for which XLA would have all activations' rows innermost: a
        # transposition around each product, and norms that read in strides
        x = sharding.rows_outermost(x)
    scanned = scans(spec.compute.layers)

    def run_block(x: jax.Array, layer: tuple, **options: int | jax.Array) -> tuple[jax.Array, None]:
        block, rate, key = layer
        return sharding.spread_rows(block(before(x), rate, key, **sequence, **options)), None

    def saving(step: Callable) -> Callable:
        if spec.compute.remat == "everything":
            return step
        return jax.checkpoint(step, policy=REMAT_POLICIES[spec.compute.remat], prevent_cse=not scanned)

    def run(x: jax.Array, stack: tuple) -> jax.Array:
        step = saving(run_block)
        if scanned:
            return jax.lax.scan(step, x, stack)[0]
        for layer in split(stack, jax.tree.leaves(stack)[0].shape[0]):
            x, _ = step(x, jax.tree.map(lambda leaf: leaf[0], layer))
        return x

    keys = None if key is None else jax.random.split(key, spec.depth)
    blocks = cast_products(blocks, spec.dtype)
    stack = (blocks, jnp.linspace(0.0, spec.drop_path, spec.depth), keys)
    if read is None:
        return run(x, stack)[:, :length]
    first, last = split(stack, [spec.depth - 1])
    layer = jax.tree.map(lambda leaf: leaf[0], last)
    return saving(functools.partial(run_block, read=read))(run(x, first), layer)[0][:, 0]


def scans(arrangement: str) -> bool:
    """Whether a scan runs the blocks. `auto` does on CPUs, where a scan compiles sooner, and on several TPU slices.

    There the biases' gradients of unrolled layers are no longer summed where they arise: by the estimate of TPU's
    compiler 98 instead of 87 ms a step of two slices of v5e:4x4, while one slice takes 69 instead of 84 ms unrolled.
    """
    slices = jax.sharding.get_abstract_mesh().shape.get("slice", 1)
    return arrangement == "scan" or (arrangement == "auto" and (xla.platform() == "cpu" or slices > 1))


def cast_products(blocks: Stack, dtype: jnp.dtype) -> Stack:
    """The blocks with all parameters but those of norms in that dtype.

    A product would convert its weights anyway. Done once for all layers, their gradients are stacked in that dtype.
    """

    def cast(path: tuple, leaf: jax.Array) -> jax.Array:
        return leaf if any("ln_" in str(key) for key in path) else leaf.astype(dtype)

    return jax.tree_util.tree_map_with_path(cast, blocks)


def pad_tokens(x: jax.Array, count: int) -> jax.Array:
    """[..., L, D] -> [..., L + count, D] with zeros at the end."""
    if not count:
        return x
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, count), (0, 0)])


def split(stack: tuple, where: int | list[int]) -> list[tuple]:
    """A stack of layers in so many parts, or cut at these places.

    Split rather than indexed: the gradient of a split is one concatenation, that of indexing a sum of padded stacks.
    """
    leaves, structure = jax.tree.flatten(stack)
    return [structure.unflatten(part) for part in zip(*(jnp.split(leaf, where) for leaf in leaves), strict=True)]
