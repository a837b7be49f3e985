"""Readers of clips stored as files: videos, and folders of frames."""

import dataclasses
import math
import pathlib

import numpy as np

from actionclip_jax.data import table, video
from actionclip_jax.data.video import errors, limits, pictures


@dataclasses.dataclass(frozen=True)
class VideoFiles:
    """A clip's path is a video file, of which `start` to `end` is used."""

    unit: str = "seconds"  # of start and end; or "frames", numbered from 0

    def read(
        self, clip: table.Clip, choose: video.Choose, transform: video.Transform, short_side: int | None = None
    ) -> video.Frames:
        """See `table.Reader`."""
        start, end = clip.start or 0.0, math.inf if clip.end is None else clip.end
        source = video.Source(clip.path, start=start, end=end, unit=self.unit, short_side=short_side)
        return video.read_frames(source, choose, transform)


@dataclasses.dataclass(frozen=True)
class FrameFolders:
    """A clip's path is a folder of `clip.frames` pictures, numbered from `first` on; their times are not known."""

    template: str = "img_{:05d}.jpg"
    first: int = 1

    def read(
        self, clip: table.Clip, choose: video.Choose, transform: video.Transform, short_side: int | None = None
    ) -> video.Frames:
        """See `table.Reader`."""
        if not clip.frames or not 0 < clip.frames <= limits.MAX_FRAMES:
            raise video.VideoError(clip.path, f"a folder of {clip.frames or 'no'} frames")

        def decode_frame(number: int) -> np.ndarray:
            file = pathlib.Path(clip.path, self.template.format(self.first + number))
            try:
                return pictures.decode_picture(pictures.read_file(file))
            except (OSError, ValueError) as error:
                raise video.VideoError(file, errors.reason_of(error)) from error

        times = np.full(clip.frames, np.nan)
        return pictures.read_pictures(clip.path, decode_frame, times, choose, transform, short_side)
