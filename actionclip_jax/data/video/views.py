"""Test-time geometry of uint8 frames, bit for bit what torchvision does to a PIL image."""

from collections.abc import Callable

import numpy as np
from PIL import Image


def short_side_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """(height, width) scaled until the short side is `size`; the other is truncated, torchvision's rule."""
    if width <= height:
        return int(size * height / width), size
    return size, int(size * width / height)


def resize_short_side(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3] uint8 -> [h, w, 3] uint8 with min(h, w) = `size`, by PIL's antialiased bicubic filter."""
    height, width = short_side_shape(*image.shape[:2], size)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


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


def view_transform(size: int, crops: int = 1, resize: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """The frame transform of testing: [H, W, 3] uint8 -> [S, size, size, 3] uint8.

    The short side becomes `resize` before cropping, by default `default_short_side`.
    """
    short_side = resize or default_short_side(size)
    if short_side < size:
        raise ValueError(f"resize is {short_side}, expected at least the crop size {size}")

    def transform(image: np.ndarray) -> np.ndarray:
        return crop_views(resize_short_side(image, short_side), size, crops)

    return transform
