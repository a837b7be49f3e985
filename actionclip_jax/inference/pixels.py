"""Frames that people hold in memory: uint8 RGB, or an error that says what they look like."""

from typing import Any

import numpy as np
from PIL import Image

from actionclip_jax.data.video import limits


def is_picture(item: Any) -> bool:
    """Whether it is one frame and no video: a PIL image, or an array of at most three axes."""
    if isinstance(item, Image.Image):
        return True
    return hasattr(item, "__array__") and len(getattr(item, "shape", ())) in (2, 3)


def checked_frames(item: Any, place: str) -> list[np.ndarray] | np.ndarray:
    """Frames [H, W, 3] uint8 of one video, from a list of pictures or an array. Raises ValueError, and says why."""
    if isinstance(item, list | tuple):
        frames = [as_picture(picture, f"frame {number} of {place}") for number, picture in enumerate(item)]
        sizes = [frame.shape for frame in frames]
        if other := next((number for number, size in enumerate(sizes) if size != sizes[0]), 0):
            raise ValueError(f"frame {other} of {place} is {sizes[other]} and frame 0 {sizes[0]}: expected one size")
        shape = (len(frames), *(sizes[0] if frames else (0, 0, 3)))
    else:
        frames = as_array(item, place)
        check_pixels(frames, ("T", "H", "W", "3"), place)
        shape = frames.shape
    if 0 in shape:
        raise ValueError(f"{place} has no frame: {shape}")
    if shape[0] > limits.MAX_FRAMES:
        raise ValueError(f"{place} has {shape[0]} frames: at most {limits.MAX_FRAMES} are read")
    if problem := limits.describe_excess(*shape[1:3]):
        raise ValueError(f"{place} has frames of {problem}")
    return frames


def as_picture(picture: Any, place: str) -> np.ndarray:
    """[H, W, 3] uint8. Raises ValueError."""
    if isinstance(picture, Image.Image):
        if picture.mode != "RGB":
            raise ValueError(f"{place} is a PIL image of mode {picture.mode}: expected RGB, as image.convert('RGB')")
        return np.asarray(picture)
    if not is_picture(picture):
        raise ValueError(f"{place} is {describe(picture)}: expected a picture, uint8 [H, W, 3] or a PIL image")
    array = as_array(picture, place)
    check_pixels(array, ("H", "W", "3"), place)
    return array


def as_array(value: Any, place: str) -> np.ndarray:
    """What `__array__` gives. Raises ValueError for a tensor that is on another device, say."""
    try:
        return np.asarray(value)
    except Exception as error:  # whatever the library raises
        raise ValueError(f"{place} is {describe(value)}, which does not become an array: {error}") from None


def check_pixels(array: np.ndarray, axes: tuple[str, ...], place: str) -> None:
    """Raises ValueError unless it is uint8 of these axes, the last of them RGB; says what it looks like."""
    shape, expected = array.shape, f"expected uint8 [{', '.join(axes)}], RGB from 0 to 255"
    if array.dtype == np.uint8 and len(shape) == len(axes) and shape[-1] == 3:
        return
    raise ValueError(f"{place} is {array.dtype} {shape}{look_like(array, len(axes))}: {expected}")


def look_like(array: np.ndarray, axes: int) -> str:
    """What pixels of the wrong kind seem to be, and what makes them right."""
    shape, rank = array.shape, array.ndim
    if rank == axes + 1:
        return " (several videos? give a list of them)"
    if rank == axes - 1 and shape[-1:] == (3,):
        return " (one picture? put it into a list)"
    if rank == axes - 1 or (rank == axes and shape[-1] == 1):
        return " (grey? repeat it for the three colours)"
    if rank == axes and shape[-1] == 4:
        return " (with transparency? leave the last channel out: [..., :3])"
    if rank == axes and shape[-1] != 3 and shape[-3] == 3:
        return " (colours first? move that axis to the end: numpy.moveaxis(x, -3, -1))"
    if rank == axes and shape[-1] == 3 and array.dtype.kind == "f":
        return " (from 0 to 1? (255 * x).round().astype('uint8'))"
    return ""


def describe(value: Any) -> str:
    """A short name of what was given, for messages."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"of type {type(value).__name__}"
