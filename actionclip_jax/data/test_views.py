"""The test views of videos, read ahead of whoever computes with them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import numpy as np

from actionclip_jax import config
from actionclip_jax.data import sampling, video, workers
from actionclip_jax.data.video import given
from actionclip_jax.data.video import views as geometry


@dataclasses.dataclass(frozen=True)
class Clips:
    """The views of one video."""

    clips: np.ndarray  # [V * S, T, size, size, 3] uint8: temporal views, each with its crops
    indices: np.ndarray  # [V, T] int64
    timestamps: np.ndarray  # [V, T] float64
    note: str | None


def read_clips(read: Callable[[video.Choose, video.Transform], video.Frames], sample: config.SampleConfig) -> Clips:
    """Decodes the test views of a video: the segment middles of T views x S crops.

    `read(choose, transform)` reads the frames, as `video.read_frames` does.
    """
    frames, size, count, crops = sample.frames, sample.size, sample.views_time, sample.views_space

    def choose(length: int) -> np.ndarray:
        return np.concatenate([sampling.segment_middles(length, frames, view, count) for view in range(count)])

    result = read(choose, geometry.view_transform(sample))
    images = np.stack(result.images).reshape(count, frames, crops, size, size, 3).swapaxes(1, 2)
    shape = (count, frames)
    return Clips(
        images.reshape(-1, frames, size, size, 3),
        result.indices.reshape(shape),
        result.timestamps.reshape(shape),
        result.note,
    )


def read_ahead(
    videos: Sequence[given.Video], sample: config.SampleConfig
) -> Iterator[tuple[str, Clips | video.VideoError]]:
    """(name, its `read_clips` or the VideoError that says why not) in order, a few videos ahead in threads."""

    def read(one: given.Video) -> Clips:
        return read_clips(one.read, sample)

    threads = min(8, workers.count_cores())
    pool = futures.ThreadPoolExecutor(threads)
    try:
        for one, future in zip(videos, workers.map_ahead(pool, read, videos, 2 * threads), strict=True):
            try:
                yield one.name, future.result()
            except video.VideoError as error:
                yield one.name, error
    finally:  # whoever stops early does not wait for files nobody will look at
        pool.shutdown(cancel_futures=True)
