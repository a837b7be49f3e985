"""Small real videos made on the spot: a coloured shape moving over a faintly noisy background."""

import os
import pathlib

import av
import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("square", "circle", "triangle")
COLORS = {
    "red": (220, 30, 30),
    "green": (30, 170, 50),
    "blue": (40, 70, 230),
    "yellow": (240, 220, 40),
    "purple": (150, 40, 180),
    "white": (250, 250, 250),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def write_moving_shape(
    path: str | os.PathLike,
    shape: str = "square",
    color: str = "red",
    direction: str = "right",
    *,
    size: tuple[int, int] = (128, 96),
    frames: int = 32,
    fps: int = 16,
    seed: int = 0,
) -> None:
    """Writes an .mp4 of `size` (width, height; both even) in which the shape crosses the picture once.

    The seed draws the shape's size, the line it moves along, its speed and the background; the same arguments give
    the same video.
    """
    _validate(shape, color, direction, size, frames, fps)
    rng = np.random.default_rng(seed)
    extent = np.array(size, np.float64)
    radius = extent.min() * rng.uniform(0.12, 0.2)
    heading = np.array(DIRECTIONS[direction], np.float64)
    across = np.abs(heading[::-1])  # the axis it does not move along
    middle = extent / 2 + across * rng.uniform(-1, 1) * (extent / 2 - radius)
    reach = heading * (extent / 2 - radius) * rng.uniform(0.75, 1.0)
    background = _draw_background(rng, size)
    pictures = []
    for progress in np.linspace(-1, 1, frames):
        noise = rng.normal(0, 3, background.shape)
        canvas = Image.fromarray(np.clip(background + noise, 0, 255).astype(np.uint8))
        _draw_shape(ImageDraw.Draw(canvas), shape, middle + progress * reach, radius, COLORS[color])
        pictures.append(canvas)
    _encode(pathlib.Path(path), pictures, fps)


def _validate(shape: str, color: str, direction: str, size: tuple[int, int], frames: int, fps: int) -> None:
    choices = (("shape", shape, SHAPES), ("color", color, COLORS), ("direction", direction, DIRECTIONS))
    problems = [
        f"{name} is {value!r}, expected one of: {', '.join(allowed)}"
        for name, value, allowed in choices
        if value not in allowed
    ]
    if min(size) < 32 or any(side % 2 for side in size):
        problems.append(f"size is {size}, expected an even width and height of at least 32")
    if frames < 1 or fps < 1:
        problems.append(f"frames is {frames} and fps is {fps}, expected at least 1 each")
    if problems:
        raise ValueError("; ".join(problems))


def _draw_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] float64: a slanting gradient between two dull, rather dark colours."""
    width, height = size
    x, y = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    angle = rng.uniform(0, 2 * np.pi)
    weight = (np.cos(angle) * x + np.sin(angle) * y)[:, :, None] / np.sqrt(8) + 0.5
    first, second = rng.uniform(40, 140, 2)[:, None] + rng.uniform(-15, 15, (2, 3))
    return first * weight + second * (1 - weight)


def _draw_shape(
    draw: ImageDraw.ImageDraw, shape: str, center: np.ndarray, radius: float, color: tuple[int, int, int]
) -> None:
    x, y = center
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "square":
        draw.rectangle(box, fill=color)
    elif shape == "circle":
        draw.ellipse(box, fill=color)
    else:
        draw.polygon([(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)], fill=color)


def _encode(path: pathlib.Path, pictures: list[Image.Image], fps: int) -> None:
    # Some builds of FFmpeg come without an H.264 encoder (a matter of licence); MPEG-4 is in all of them.
    codec = next(name for name in ("libx264", "libopenh264", "mpeg4") if name in av.codecs_available)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 200_000
        stream.codec_context.gop_size = 12
        stream.codec_context.thread_count = 1  # more would change the bits from machine to machine
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
