"""A clip -> the records that keep it."""

from typing import Any

import msgpack
import numpy as np

from actionclip_jax import config
from actionclip_jax.data import sampling, table, video
from actionclip_jax.data.video import pictures, views

# Frames in a record: with fewer, less is read in vain, but an open shard takes 40 bytes of memory for each record.
GROUPS = {"jpeg": 1, "video": 8}


def encode_clip(
    reader: table.Reader, settings: config.RecordConfig, clip: table.Clip
) -> tuple[str, dict[str, Any], list[bytes]]:
    """("clips", its entry in the shard's list, its records), or ("bad", which and why, nothing)."""
    encoding = _Encoding(clip.path, settings)
    try:
        frames = reader.read(clip, encoding.choose, encoding.add)
    except video.VideoError as error:
        return "bad", {"id": clip.id, "path": error.path, "reason": error.reason}, []
    entry = {"id": clip.id, "labels": list(clip.labels), "frames": len(frames.indices)}
    if frames.note:
        entry["note"] = frames.note
    encoded, group = encoding.encoder.finish(), GROUPS[settings.storage]
    header = {
        "id": clip.id,
        "labels": list(clip.labels),
        "times": frames.timestamps.tobytes(),
        "codec": settings.storage,
        "group": group,
    }
    groups = [encoded[start : start + group] for start in range(0, len(encoded), group)]
    return "clips", entry, [msgpack.packb(record) for record in (header, *groups)]


class _Encoding:
    """Chooses and encodes the frames of a clip, as its reader hands them over."""

    def __init__(self, path: str, settings: config.RecordConfig) -> None:
        self.path, self.settings = path, settings
        self._start()

    def _start(self) -> None:
        """Begins anew: the reader may find that it has to."""
        settings = self.settings
        is_jpeg = settings.storage == "jpeg"
        self.encoder = pictures.JpegEncoder(settings.quality) if is_jpeg else pictures.IntraEncoder(settings.crf)
        self.shape: tuple[int, ...] | None = None

    def choose(self, length: int) -> np.ndarray:
        self._start()
        keep_all = self.settings.storage == "video" or length <= self.settings.frames
        return np.arange(length) if keep_all else sampling.segment_middles(length, self.settings.frames)

    def add(self, image: np.ndarray) -> None:
        if self.shape not in (None, image.shape):
            raise video.VideoError(self.path, "the size of the picture changes")
        if min(image.shape[:2]) < 2:
            raise video.VideoError(self.path, f"the picture is {image.shape[1]} x {image.shape[0]} pixels large")
        self.shape = image.shape
        short_side = self.settings.short_side
        large = short_side and min(image.shape[:2]) > short_side
        self.encoder.add(views.resize_short_side(image, short_side) if large else image)
