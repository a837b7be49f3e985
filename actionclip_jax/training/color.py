"""Training augmentation on the device: colour jitter and grey, as torchvision does to PIL images, but not rounded.

A clip has its own key and sees only its own pixels, so clips can be spread over devices at will.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from actionclip_jax import config

Channels = tuple[jax.Array, ...]  # red, green, blue

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def augment_colors(frames: jax.Array, key: jax.Array, augment: config.AugmentConfig) -> jax.Array:
    """[B, T, H, W, 3] uint8 RGB -> float32 in 0..255, not rounded: the colours of some clips change, or turn grey."""
    keys = jax.random.split(key, frames.shape[0])
    return jax.vmap(functools.partial(augment_clip, augment=augment))(frames, keys)


@jax.named_scope("color")
def augment_clip(frames: jax.Array, key: jax.Array, augment: config.AugmentConfig) -> jax.Array:
    """[T, H, W, 3] uint8 -> float32. Whether to jitter and whether to turn grey is drawn once for all frames."""
    whether_key, jitter_key = jax.random.split(key)
    to_jitter, to_grayscale = jax.random.uniform(whether_key, (2,)) < jnp.array([augment.jitter, augment.grayscale])
    # an array for each channel: what makes three of them is one fusion, and along the last axis, where accelerators
    # work, three values would fill a fraction of a lane
    images = tuple(jnp.moveaxis(frames, -1, 0).astype(jnp.float32))
    count = frames.shape[0] if augment.per_frame else 1
    drawn = jax.vmap(functools.partial(draw_jitter, augment=augment))(jax.random.split(jitter_key, count))
    images = [jnp.where(to_jitter, new, old) for new, old in zip(jitter(images, *drawn), images, strict=True)]
    lightness = grayscale(images)
    return jnp.stack([jnp.where(to_grayscale, lightness, channel) for channel in images], axis=-1)


def draw_jitter(key: jax.Array, augment: config.AugmentConfig) -> tuple[jax.Array, jax.Array]:
    """The four operations in random order [4] int32, and the factor of each, in that order [4] float32."""
    order_key, factor_key = jax.random.split(key)
    blends = (augment.brightness, augment.contrast, augment.saturation)
    low = jnp.array([*(max(1 - strength, 0.0) for strength in blends), -augment.hue])
    high = jnp.array([*(1 + strength for strength in blends), augment.hue])
    order = jax.random.permutation(order_key, 4)
    return order, jax.random.uniform(factor_key, (4,), minval=low, maxval=high)[order]


def jitter(images: Channels, order: jax.Array, factors: jax.Array) -> Channels:
    """RGB [T, H, W] float32 -> the same after the operations of `order` [N, 4], N being T or 1, at strengths `factors`.

    Clips do different operations at the same time, so every step computes all of them and keeps one of them; that
    costs little more than reading the pixels does.
    """

    def step(images: Channels, drawn: tuple[jax.Array, jax.Array]) -> tuple[Channels, None]:
        operation, factor = (values[:, None, None] for values in drawn)  # [N, 1, 1]
        lightness = grayscale(images)
        mean = lightness.mean((1, 2), keepdims=True)
        base = jnp.select([operation == BRIGHTNESS, operation == CONTRAST], [jnp.zeros_like(mean), mean], lightness)
        blended = (jnp.clip(factor * channel + (1 - factor) * base, 0, 255) for channel in images)
        turned = turn_hue(images, factor)
        return tuple(jnp.where(operation == HUE, *both) for both in zip(turned, blended, strict=True)), None

    return jax.lax.scan(step, images, (order.T, factors.T))[0]


def grayscale(images: Sequence[jax.Array]) -> jax.Array:
    """RGB, three [...] -> [...]: Pillow's weights (ITU-R 601-2), on whose images the source works."""
    red, green, blue = images
    return 0.299 * red + 0.587 * green + 0.114 * blue


def turn_hue(images: Channels, turn: jax.Array) -> Channels:
    """RGB, three [...] -> the same with the hue moved by `turn` of the circle; HSV's saturation and value stay."""
    red, green, blue = images
    high = jnp.maximum(red, jnp.maximum(green, blue))  # fuses with its neighbours; a reduction would not
    chroma = high - jnp.minimum(red, jnp.minimum(green, blue))
    safe = jnp.where(chroma == 0, 1, chroma)
    # by `where`, as `select` would write the number of the case of each pixel
    sixths = jnp.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    sixths = jnp.where(high == red, (green - blue) / safe, sixths)
    # the way back without the six cases: en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    places = [(first + sixths + 6 * turn) % 6 for first in (5, 3, 1)]
    return tuple(high - chroma * jnp.clip(jnp.minimum(place, 4 - place), 0, 1) for place in places)
