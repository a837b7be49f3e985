"""The test views of videos, read ahead of whoever computes with them."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import numpy as np

from actionclip_jax.data import sampling, video
from actionclip_jax.data import views as geometry


@dataclasses.dataclass(frozen=True)
class Clips:
    """The views of one video."""

    clips: np.ndarray  # [V * S, T, size, size, 3] uint8: temporal views, each with its crops
    indices: np.ndarray  # [V, T] int64
    timestamps: np.ndarray  # [V, T] float64
    note: str | None


def read_clips(path: str, *, size: int, frames: int, views: tuple[int, int]) -> Clips:
    """Decodes the test views of a video: `frames` segment middles x T views x S crops."""
    count, crops = views

    def choose(length: int) -> np.ndarray:
        return np.concatenate([sampling.segment_middles(length, frames, view, count) for view in range(count)])

    read = video.read_frames(path, choose, geometry.view_transform(size, crops))
    images = np.stack(read.images).reshape(count, frames, crops, size, size, 3).swapaxes(1, 2)
    shape = (count, frames)
    return Clips(
        images.reshape(-1, frames, size, size, 3),
        read.indices.reshape(shape),
        read.timestamps.reshape(shape),
        read.note,
    )


def read_ahead(paths: Sequence[str], read: Callable[[str], Clips]) -> Iterator[tuple[str, Clips | video.VideoError]]:
    """(path, what `read` gives or the VideoError it raises) in order, a few files ahead in threads."""
    workers = min(8, os.cpu_count() or 1)
    pool = futures.ThreadPoolExecutor(workers)
    try:
        queue: collections.deque = collections.deque()
        ahead = iter(paths)
        for path in paths:
            while len(queue) < 2 * workers and (following := next(ahead, None)) is not None:
                queue.append(pool.submit(read, following))
            try:
                yield path, queue.popleft().result()
            except video.VideoError as error:
                yield path, error
    finally:  # whoever stops early does not wait for files nobody will look at
        pool.shutdown(cancel_futures=True)
