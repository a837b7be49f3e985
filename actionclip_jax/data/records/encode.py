"""A clip -> the records that keep it."""

from typing import Any

import msgpack
import numpy as np

from actionclip_jax import config
from actionclip_jax.data import sampling, table, video
from actionclip_jax.data.video import pictures, views

# Frames in a record: with fewer, less is read in vain, but an open shard takes 40 bytes of memory for each record.
GROUPS = {"jpeg": 1, "video": 8}
ENCODERS = {
    "jpeg": lambda settings: pictures.JpegEncoder(settings.quality),
    "video": lambda settings: pictures.IntraEncoder(settings.crf),
}


def encode_clip(
    reader: table.Reader, settings: config.RecordConfig, clip: table.Clip
) -> tuple[str, dict[str, Any], list[bytes]]:
    """("clips", its entry in the shard's list, its records), or ("bad", which and why, nothing)."""
    encoder, shape = None, None

    def choose(length: int) -> np.ndarray:
        nonlocal encoder, shape  # anew: the reader may find that it has to start again
        encoder, shape = ENCODERS[settings.storage](settings), None
        keep_all = settings.storage == "video" or length <= settings.frames
        return np.arange(length) if keep_all else sampling.segment_middles(length, settings.frames)

    def add(image: np.ndarray) -> None:
        nonlocal shape
        if shape not in (None, image.shape):
            raise video.VideoError(clip.path, "the size of the picture changes")
        if min(image.shape[:2]) < 2:
            raise video.VideoError(clip.path, f"the picture is {image.shape[1]} x {image.shape[0]} pixels large")
        shape = image.shape
        large = settings.short_side and min(image.shape[:2]) > settings.short_side
        encoder.add(views.resize_short_side(image, settings.short_side) if large else image)

    try:
        frames = reader.read(clip, choose, add)
    except video.VideoError as error:
        return "bad", {"id": clip.id, "path": error.path, "reason": error.reason}, []
    entry = {"id": clip.id, "labels": list(clip.labels), "frames": len(frames.indices)}
    if frames.note:
        entry["note"] = frames.note
    encoded, group = encoder.finish(), GROUPS[settings.storage]
    header = {
        "id": clip.id,
        "labels": list(clip.labels),
        "times": frames.timestamps.tobytes(),
        "codec": settings.storage,
        "group": group,
    }
    groups = [encoded[start : start + group] for start in range(0, len(encoded), group)]
    return "clips", entry, [msgpack.packb(record) for record in (header, *groups)]
