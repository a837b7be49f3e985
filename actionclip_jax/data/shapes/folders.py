"""Videos as people have them, a folder for every class, to try things on: motions under names no sample model knows."""

import os

import numpy as np

from actionclip_jax import files, paths
from actionclip_jax.data.shapes import drawing, inventory

MOTIONS = {"falling": "down", "passing to the left": "left", "passing to the right": "right", "rising": "up"}
CLIPS = 30  # of every class
SECONDS = 4  # of each motion in the long video
SIZE, FPS = (128, 96), 16


def make_folders(directory: str | os.PathLike) -> None:
    """Writes DIRECTORY/videos/CLASS/00.mp4 ..., and DIRECTORY/long.mp4, in which one motion follows the other.

    Files that are there stay, so that a call which was stopped goes on.
    """
    directory = paths.expand_home(directory)
    looks = sorted({(color, shape) for color, shape, _ in inventory.list_classes("train")})
    for number, (name, direction) in enumerate(MOTIONS.items()):
        folder = directory / "videos" / name
        folder.mkdir(parents=True, exist_ok=True)
        for clip in range(CLIPS):
            color, shape = looks[(clip + number) % len(looks)]  # the same for all classes: only the motion differs
            path = folder / f"{clip:02d}.mp4"
            if not path.exists():
                with files.written_whole(path) as partial:
                    drawing.write_moving_shape(
                        partial, shape, color, direction, size=SIZE, fps=FPS, seed=(number, clip)
                    )
    if not (directory / "long.mp4").exists():
        with files.written_whole(directory / "long.mp4") as partial:
            drawing.write_frames(partial, _draw_long(), FPS)


def _draw_long() -> list[np.ndarray]:
    """Frames [H, W, 3] of all motions in turn, and the first ones again."""
    frames: list[np.ndarray] = []
    for scene, direction in enumerate([*MOTIONS.values()] * 2):
        rng = np.random.default_rng((len(MOTIONS), scene))
        radius, centers = drawing.draw_path(rng, direction, SIZE, SECONDS * FPS)
        frames += drawing.draw_frames(rng, "circle", "yellow", radius, centers, SIZE)
    return frames
