"""Rotary positions in two dimensions (arXiv 2104.09864), as Perception Encoder has them (arXiv 2504.13181).

Channels of a head are taken in pairs, each a point in a plane that turns with the place of its patch: the first half
of the pairs with its column, the second with its row, each pair at a frequency of its own. A class token does not turn,
and patches are counted from 1 where there is one.
"""

import jax
import jax.numpy as jnp

from actionclip_jax import config

BASE = 10_000.0  # the slowest pair turns nearly that much slower than the first


def patch_turns(image: config.ImageConfig) -> jax.Array:
    """Cosines and sines [2, N, K / 2] of the patches of a frame, row by row, for heads of K channels."""
    count = image.width // image.heads // 4
    frequencies = BASE ** -(jnp.arange(count, dtype=jnp.float32) / count)
    angles = (jnp.arange(image.grid) + image.class_token)[:, None] * frequencies  # [grid, K / 4]
    shape = (image.grid, image.grid, count)
    columns, rows = jnp.broadcast_to(angles[None], shape), jnp.broadcast_to(angles[:, None], shape)
    both = jnp.concatenate([columns, rows], axis=-1).reshape(image.patches, 2 * count)
    return jnp.stack([jnp.cos(both), jnp.sin(both)])


def add_class_token(turns: jax.Array) -> jax.Array:
    """[2, ..., N, K / 2] -> [2, ..., 1 + N, K / 2]: a first token that does not turn."""
    still = jnp.stack([jnp.ones_like(turns[0, ..., :1, :]), jnp.zeros_like(turns[1, ..., :1, :])])
    return jnp.concatenate([still, turns], axis=-2)


def turn(x: jax.Array, turns: jax.Array | None, heads: int) -> jax.Array:
    """Queries or keys of all heads side by side [B, L, D], turned by [2, L, K / 2] or [2, B, L, K / 2]; None: as is."""
    if turns is None:
        return x
    cosines, sines = turns[..., None, :]  # the same for every head
    first, second = jnp.moveaxis(x.astype(jnp.float32).reshape(*x.shape[:2], heads, -1, 2), -1, 0)
    turned = jnp.stack([first * cosines - second * sines, second * cosines + first * sines], axis=-1)
    return turned.astype(x.dtype).reshape(x.shape)
