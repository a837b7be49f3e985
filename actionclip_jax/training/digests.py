"""A digest of every array, the same however the array is spread over devices and hosts."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from actionclip_jax import sharding

SEEDS = (0x00000000, 0x9E3779B9)  # of two independent sums of 32 bits


class Digester:
    """Computes digests of trees of arrays that live on one mesh; compiles once for each kind of tree."""

    def __init__(self, mesh: Mesh) -> None:
        self._sums = jax.jit(sums, out_shardings=sharding.everywhere(mesh))

    def __call__(self, tree: Any) -> dict[str, str]:
        """Arrays of any dtype by path -> 16 hexadecimal digits."""
        pairs = by_path(jax.device_get(self._sums(tree)))
        return {path: f"{first:08x}{second:08x}" for path, (first, second) in pairs.items()}


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their place in it, like `params/image/blocks/attn/qkv/kernel`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }


def sums(tree: Any) -> Any:
    """Arrays -> uint32 [2] each: sums modulo 2^32 of a number for each element that stands for its bits and its place.

    Another value at a place has another number, so a change to any one element always changes both sums; of other
    changes one in 2^64 goes unnoticed. Integer sums do not depend on their order, so any spreading gives the same.
    """
    return jax.tree.map(lambda array: jnp.stack([scrambled_sum(array, seed) for seed in SEEDS]), tree)


def scrambled_sum(array: jax.Array, seed: int) -> jax.Array:
    """uint32: the sum of the elements' bits, each scrambled in its own way, which depends on `seed` as well."""
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    bits = jax.lax.bitcast_convert_type(array, f"uint{8 * array.dtype.itemsize}").astype(jnp.uint32)
    place, stride = jnp.full(array.shape, seed, jnp.uint32), 1
    for axis in reversed(range(array.ndim)):
        place += jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis) * jnp.uint32(stride % 2**32)
        stride *= array.shape[axis]
    return jnp.sum(scramble(bits ^ scramble(place)), dtype=jnp.uint32)


def scramble(x: jax.Array) -> jax.Array:
    """A one-to-one function of uint32 whose values look random: "lowbias32" of Wellons' hash-prospector."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
