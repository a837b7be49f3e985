"""Gradients of several TPU slices: each slice differentiates at its own clips, and then they are averaged once.

Left to XLA, slices exchange the gradients of every layer as they arise, over a network that is slower than their links.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P


def average(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`function(common, rows, keys)`: of arrays that all slices have, of rows that they share, and of random keys.

    Each slice computes it of its own rows, with keys of its own. The results are averaged.
    """

    def of_slice(common: Any, rows: Any, keys: Any) -> Any:
        return jax.lax.pmean(function(common, rows, jax.tree.map(lambda key: key[0], keys)), "slice")

    def of_all(common: Any, rows: Any, keys: Any) -> Any:
        return spread(common, rows, jax.tree.map(lambda key: jax.random.split(key, mesh.shape["slice"]), keys))

    spread = jax.shard_map(
        of_slice,
        mesh=mesh,
        in_specs=(P(), P("slice"), P("slice")),
        out_specs=P(),
        axis_names={"slice"},
        check_vma=False,  # what comes out is the same on all slices, which JAX cannot see
    )
    return of_all


def gather(rows: jax.Array) -> jax.Array:
    """The rows of all slices, where one slice computes; elsewhere unchanged."""
    if "slice" in jax.sharding.get_abstract_mesh().manual_axes:
        return jax.lax.all_gather(rows, "slice", tiled=True)
    return rows
