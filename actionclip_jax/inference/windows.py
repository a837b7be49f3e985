"""Windows that slide over a long video: each frame is encoded once for all of them."""

import dataclasses
import functools
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator
from concurrent import futures

import numpy as np

from actionclip_jax import config, progress
from actionclip_jax.data import test_views, video, workers
from actionclip_jax.data.video import stream, views
from actionclip_jax.inference import batching, class_scores, encoder

AHEAD = 2  # batches of frames decoded while the model works

Scored = tuple[np.ndarray, np.ndarray, str | None]  # windows [W, 2], probabilities [W, C], what is wrong with the file


@dataclasses.dataclass(frozen=True)
class SlidingWindows:
    """A model with all that stays the same from video to video. Everything is computed in batches of one size."""

    model: encoder.VideoTextEncoder
    classes: np.ndarray  # [C, P, E]
    window: float  # seconds
    hop: float  # seconds
    frames: int  # of a window
    batch_size: int  # windows' worth of frames
    kind: str = "softmax"  # of scores, as `class_scores` has it

    @property
    def spacing(self) -> float:
        """Seconds from frame to frame of a window."""
        return self.window / self.frames

    @property
    def hop_cells(self) -> int:
        """Frames from window to window."""
        return max(1, round(self.hop / self.spacing))

    @property
    def step(self) -> float:
        """Seconds from window to window."""
        return self.hop_cells * self.spacing

    @property
    def sample(self) -> config.SampleConfig:
        """What is seen of a window."""
        return config.sample_for(self.model.config, self.frames)

    @functools.cached_property
    def prepare_frame(self) -> Callable[[np.ndarray], np.ndarray]:
        """A frame of the video [H, W, 3] uint8 -> [S, S, 3] uint8, as the model takes it."""
        transform = views.view_transform(self.sample)
        return lambda image: transform(image)[0]

    def __call__(self, path: str) -> Scored:
        """The windows of a video with start and end in seconds, and their probabilities. Raises VideoError.

        Of all frames only their features are held, those of equal cells once: 2 KiB a frame for a ViT-B.
        """
        spacing = self.spacing
        grid = stream.Grid(path, spacing, self.prepare_frame)
        encoded: list[np.ndarray] = []
        cells: list[int] = []  # that each frame represents
        seconds = progress.Progress(f"{pathlib.Path(path).name} (seconds)", None)
        for batch in _read_ahead(grid, self.batch_size * self.frames):
            if self.is_longer_than(grid.length):
                break
            encoded.append(self.encode(np.stack([image for image, _ in batch]), self.batch_size * self.frames))
            cells += [count for _, count in batch]
            seconds.total = grid.promised  # which the first frames tell
            seconds.move_to(sum(cells) * spacing)
        seconds.finish()
        length = grid.length
        assert length is not None, "known at the end of the grid"
        if self.is_longer_than(length):
            return self.predict_whole(path, length)
        whole = math.floor((length + stream.ROUNDING) / spacing)
        rows = np.repeat(np.arange(len(cells)), cells)[:whole]
        starts = window_starts(whole, self.frames, self.hop_cells)
        chosen = rows[starts[:, None] + np.arange(self.frames)]
        probabilities = self.score(np.concatenate(encoded), chosen, self.batch_size * self.frames)
        return np.stack([starts, starts + self.frames], axis=1) * spacing, probabilities, grid.note

    def is_longer_than(self, length: float | None) -> bool:
        """Whether a window is longer than the video, whose length is not known before its end."""
        return length is not None and length < self.window - stream.ROUNDING

    def predict_whole(self, path: str, length: float) -> Scored:
        """The same for a video shorter than a window, of the frames that `Predictor.predict` takes."""
        read = functools.partial(video.read_frames, path)
        clips = test_views.read_clips(read, self.sample)
        features = self.encode(clips.clips[0], self.batch_size * self.frames)
        probabilities = self.score(features, np.arange(self.frames)[None], self.batch_size * self.frames)
        return np.array([[0.0, length]]), probabilities, clips.note

    def encode(self, images: np.ndarray, size: int) -> np.ndarray:
        """Frames [N, S, S, 3] -> features [N, E], for N up to the size of the batch that is computed."""
        filled = batching.fill(images, size)
        return self.model.encode_frames(filled[:, None])[: len(images), 0]

    def score(self, features: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
        """Features [N, E] and the rows of them that make up each window [W, T] -> probabilities [W, C].

        So many windows are computed at once.
        """
        scores = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            joined = self.model.join_frames(features[batching.fill(part, size)])[: len(part)]
            scores.append(class_scores.class_scores(joined[:, None], self.classes, self.model.scaling, kind=self.kind))
        return np.concatenate(scores)


def window_starts(cells: int, frames: int, hop: int) -> np.ndarray:
    """First cells [W] int64 of windows of `frames` cells, one every `hop` and one that ends with the last cell."""
    starts = np.arange(0, cells - frames + 1, hop, dtype=np.int64)
    return starts if starts[-1] == cells - frames else np.append(starts, cells - frames)


def _read_ahead(grid: stream.Grid, size: int) -> Iterator[list[tuple[np.ndarray, int]]]:
    """The grid's frames in lists of `size`, decoded by a thread while the model works."""
    frames, pool = iter(grid), futures.ThreadPoolExecutor(1)
    try:
        batches = workers.map_ahead(pool, lambda number: list(itertools.islice(frames, size)), itertools.count(), AHEAD)
        for future in batches:
            if not (batch := future.result()):
                return
            yield batch
    finally:  # whoever stops early closes the file, after the frame that is being decoded
        pool.shutdown(cancel_futures=True)
        frames.close()
