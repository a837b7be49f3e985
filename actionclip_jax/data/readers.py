"""Readers of clips stored as files: videos, and folders of frames."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from actionclip_jax.data import table, video


@dataclasses.dataclass(frozen=True)
class VideoFiles:
    """A clip's path is a video file, of which `start` to `end` is used."""

    def read(
        self,
        clip: table.Clip,
        choose: Callable[[int], np.ndarray],
        transform: Callable[[np.ndarray], Any],
        short_side: int | None = None,
    ) -> video.Frames:
        """See `table.Reader`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class FrameFolders:
    """A clip's path is a folder of `clip.frames` pictures, numbered from `first` on."""

    template: str = "img_{:05d}.jpg"
    first: int = 1
