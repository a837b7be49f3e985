"""Test-time geometry of uint8 frames, bit for bit what torchvision does to a PIL image."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from actionclip_jax import config

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def short_side_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) scaled until the short side is `size`; the other is truncated, torchvision's rule."""
    if width <= height:
        return int(size * height / width), size
    return size, int(size * width / height)


def resize_short_side(
    image: np.ndarray, size: int, resampling: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """[H, W, 3] uint8 -> [h, w, 3] uint8 with min(h, w) = `size`, by a filter of PIL's, which are antialiased."""
    height, width = short_side_shape(*image.shape[:2], size)
    return np.asarray(Image.fromarray(image).resize((width, height), resampling))


def squash(image: np.ndarray, size: int, resampling: Image.Resampling) -> np.ndarray:
    """[H, W, 3] uint8 -> [size, size, 3] uint8, whatever the shape was."""
    return np.asarray(Image.fromarray(image).resize((size, size), resampling))


def crop_views(image: np.ndarray, size: int, crops: int) -> np.ndarray:
    """[H, W, 3] -> [S, size, size, 3]: S = `crops` squares.

    They run evenly from edge to edge along the longer side, centred on the other. One crop is the centre, rounded as
    torchvision rounds it (half to even).
    """
    height, width = image.shape[:2]
    if crops < 1:
        raise ValueError(f"crops is {crops}, expected at least 1")
    if min(height, width) < size:
        raise ValueError(f"cannot crop {size} x {size} from an image {width} wide and {height} high: resize it first")
    top, left = round((height - size) / 2), round((width - size) / 2)
    corners = [(top, left)]
    if crops > 1 and height > width:
        corners = [(round(i * (height - size) / (crops - 1)), left) for i in range(crops)]
    elif crops > 1:
        corners = [(top, round(i * (width - size) / (crops - 1))) for i in range(crops)]
    return np.stack([image[y : y + size, x : x + size] for y, x in corners])


def default_short_side(size: int) -> int:
    """What the short side becomes before a crop: CLIP's 256 for 224, and in proportion (384 for 336)."""
    return size * 256 // 224


def view_transform(sample: config.SampleConfig, short_side: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """The frame transform of testing: [H, W, 3] uint8 -> [S, size, size, 3] uint8.

    The short side becomes `short_side` before cropping, by default `default_short_side`; a squashed frame has no crops.
    """
    size, resampling = sample.size, FILTERS[sample.filter]
    if sample.resize == "squash":
        return lambda image: squash(image, size, resampling)[None]
    short = short_side or default_short_side(size)
    if short < size:
        raise ValueError(f"the short side is {short}, expected at least the crop size {size}")
    return lambda image: crop_views(resize_short_side(image, short, resampling), size, sample.views_space)
