"""Small real videos made on the spot: a coloured shape moving over a faintly noisy background."""

import os
from collections.abc import Iterable, Sequence
from typing import Literal

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
NOISE = 4  # brightness of a background pixel varies by up to this
# Some builds of FFmpeg come without an H.264 encoder (a matter of licence); MPEG-4 is in all of them. The quantiser is
# fixed: a rate to be kept would code later frames otherwise than earlier ones, which tells where a shape came from.
ENCODERS: dict[Literal["libx264", "mpeg4"], dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "qp": "23"},
    "mpeg4": {"qmin": "4", "qmax": "4"},
}


def write_moving_shape(
    path: str | os.PathLike,
    shape: str = "square",
    color: str = "red",
    direction: str = "right",
    *,
    size: tuple[int, int] = (128, 96),
    frames: int = 32,
    fps: int = 16,
    seed: int | Sequence[int] = 0,
) -> None:
    """Writes an .mp4 of `size` (width, height; both even) in which the shape crosses the picture once.

    The seed draws the shape's size, the line it moves along, its speed and the background; the same arguments give
    the same video. Frames alone do not tell the direction: backwards, a video is one of the opposite direction.
    """
    words = (("shape", shape, SHAPES), ("color", color, COLORS), ("direction", direction, DIRECTIONS))
    _validate(words, size, frames, fps)
    rng = np.random.default_rng(seed)
    radius, centers = draw_path(rng, direction, size, frames)
    write_frames(path, draw_frames(rng, shape, color, radius, centers, size), fps)


def write_still_shape(
    path: str | os.PathLike,
    shape: str = "square",
    color: str = "red",
    side: str = "left",
    *,
    size: tuple[int, int] = (128, 96),
    seed: int | Sequence[int] = 0,
) -> None:
    """Writes an .mp4 of one frame, with the shape on that side (a direction) of the picture's diagonals."""
    _validate((("shape", shape, SHAPES), ("color", color, COLORS), ("side", side, DIRECTIONS)), size, 1, 1)
    rng = np.random.default_rng(seed)
    extent = np.array(size, np.float64)
    radius = _draw_radius(rng, extent)
    towards = np.array(DIRECTIONS[side], np.float64)
    out = rng.uniform(0.3, 1)
    place = out * towards + out * rng.uniform(-1, 1) * np.abs(towards[::-1])  # -1 .. 1 between the edges
    centers = (extent / 2 + place * (extent / 2 - radius))[None]
    write_frames(path, draw_frames(rng, shape, color, radius, centers, size), 1)


def draw_path(rng: np.random.Generator, direction: str, size: tuple[int, int], frames: int) -> tuple[float, np.ndarray]:
    """The shape's radius in pixels, and its centers [T, 2] (x, y): those of the opposite direction, reversed."""
    extent = np.array(size, np.float64)
    radius = _draw_radius(rng, extent)
    heading = np.array(DIRECTIONS[direction], np.float64)
    across = np.abs(heading[::-1])  # the axis it does not move along
    middle = extent / 2 + across * rng.uniform(-1, 1) * (extent / 2 - radius)
    reach = heading * (extent / 2 - radius) * rng.uniform(0.75, 1.0)
    last = frames - 1
    progress = (2 * np.arange(frames) - last) / max(last, 1)  # -1 .. 1, and exactly the same backwards
    return radius, middle + progress[:, None] * reach


def draw_frames(
    rng: np.random.Generator, shape: str, color: str, radius: float, centers: np.ndarray, size: tuple[int, int]
) -> list[np.ndarray]:
    """[H, W, 3] uint8 for each center."""
    background = _draw_background(rng, size).round().astype(np.uint8)  # 25 .. 155: noise cannot overflow
    noise = rng.integers(-NOISE, NOISE, (len(centers), *background.shape), np.int8, endpoint=True)
    canvases = [Image.fromarray(picture) for picture in background + noise.view(np.uint8)]
    for canvas, center in zip(canvases, centers, strict=True):
        _draw_shape(ImageDraw.Draw(canvas), shape, center, radius, COLORS[color])
    return [np.asarray(canvas) for canvas in canvases]


def write_frames(path: str | os.PathLike, frames: Sequence[np.ndarray], fps: int) -> None:
    """Writes an .mp4 of frames [H, W, 3] uint8, each coded alone and as coarsely as the others."""
    codec = next(name for name in ENCODERS if name in av.codecs_available)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options=ENCODERS[codec])
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 1
        stream.codec_context.thread_count = 1  # more would change the bits from machine to machine
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _draw_radius(rng: np.random.Generator, extent: np.ndarray) -> float:
    return extent.min() * rng.uniform(0.18, 0.26)


def _validate(words: Sequence[tuple[str, str, Iterable[str]]], size: tuple[int, int], frames: int, fps: int) -> None:
    problems = [
        f"{name} is {value!r}, expected one of: {', '.join(allowed)}"
        for name, value, allowed in words
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
