"""Clips of many videos encoded in batches of one size, so that one compilation serves them all."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from actionclip_jax.data import test_views, video


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedVideo:
    """The clips of a video, and what an encoder makes of them."""

    path: str
    read: test_views.Clips
    features: list[np.ndarray] = dataclasses.field(default_factory=list)  # [E] of each clip, as they are encoded


Pending = list[tuple[np.ndarray, EncodedVideo]]  # clips not yet encoded, each with its video


def encode_each(
    encode: Callable[[np.ndarray], np.ndarray],
    videos: Iterable[tuple[str, test_views.Clips | video.VideoError]],
    batch_size: int,
) -> Iterator[EncodedVideo | video.VideoError]:
    """Videos in order, each once `encode` ([batch_size, T, S, S, 3] -> [batch_size, E]) has seen all its clips.

    In the place of a video that could not be read comes its error.
    """
    waiting: collections.deque[EncodedVideo | video.VideoError] = collections.deque()
    pending: Pending = []
    for path, read in videos:
        if isinstance(read, video.VideoError):
            waiting.append(read)
        else:
            waiting.append(encoded := EncodedVideo(path, read))
            pending += [(clip, encoded) for clip in read.clips]
        while len(pending) >= batch_size:
            pending = encode_batch(encode, pending, batch_size)
        yield from take_finished(waiting)
    while pending:
        pending = encode_batch(encode, pending, batch_size)
    yield from take_finished(waiting)


def encode_batch(encode: Callable[[np.ndarray], np.ndarray], pending: Pending, size: int) -> Pending:
    """Encodes the first clips, at most `size`; returns the others."""
    batch = pending[:size]
    features = encode(fill(np.stack([clip for clip, _ in batch]), size))[: len(batch)]
    for (_, encoded), feature in zip(batch, features, strict=True):
        encoded.features.append(feature)
    return pending[size:]


def take_finished(
    waiting: collections.deque[EncodedVideo | video.VideoError],
) -> Iterator[EncodedVideo | video.VideoError]:
    """Takes off the front of the queue what waits for nothing any more."""
    while waiting:
        first = waiting[0]
        if isinstance(first, EncodedVideo) and len(first.features) < len(first.read.clips):
            return
        yield waiting.popleft()


def fill(rows: np.ndarray, size: int) -> np.ndarray:
    """[N, ...] -> [size, ...] by repeating the last row."""
    return np.pad(rows, ((0, size - len(rows)), *((0, 0),) * (rows.ndim - 1)), mode="edge")
