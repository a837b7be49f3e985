"""The frames of a video that is still being written, at regular times."""

import contextlib
import os
from collections.abc import Callable, Generator
from typing import Any

import av
import numpy as np

from actionclip_jax.data.video import errors, feed, notes, opening, stream, stream_choice, times


class GrowingGrid(stream.Grid):
    """A `stream.Grid` over what a `feed.Feed` reads.

    Of a file that was read to its end it is the grid of the finished file: what its header then says of its length is
    read again. A pipe says no length.
    """

    def __init__(
        self, source: feed.Feed, spacing: float, transform: Callable[[np.ndarray], Any] = lambda image: image
    ) -> None:
        super().__init__(source.path, spacing, transform)
        self.source = source

    @contextlib.contextmanager
    def _open(self) -> Generator[stream.Opened]:
        self.source.check_readable()
        options = opening.OPTIONS | {"protocol_whitelist": ""}  # a feed is no protocol: nothing further is opened
        try:
            container = av.open(self.source, "r", options=options)
        except av.error.FFmpegError as error:
            raise errors.VideoError(self.path, self._explain(error)) from error
        with container:
            video = opening.find_stream(self.path, container)
            if video is None:
                raise errors.VideoError(self.path, "a picture in tiles, which cannot be followed")
            opening.set_up(self.path, video)
            yield container, video

    def _explain(self, error: av.error.FFmpegError) -> str:
        if self.source.stopped:
            return "was stopped before a video began"
        if self.source.is_pipe or os.path.getsize(self.path):  # noqa: PTH202 - as the path was given
            return f"cannot be opened as a video while it is written ({error.strerror}): try MPEG-TS or Matroska"
        return f"is still empty after {self.source.idle:g} seconds"

    def _conclude(self, container: av.container.InputContainer, stream: av.VideoStream, seen: stream.Seen) -> float:
        if self.source.is_whole:
            with opening.open_stream(self.path) as (finished, its_video):
                self.promised = finished.duration / av.time_base if finished.duration else None
                return super()._conclude(finished, its_video, seen)
        fault = seen.faults[0] if seen.faults else None
        loss = notes.describe_loss(seen.tally.shown, 0, seen.decoded, None, fault)
        shrunk = "became shorter while it was read: what came before was used" if self.source.shrunk else None
        self.note = notes.join(loss, shrunk, stream_choice.describe(container, stream))
        return self._find_end(seen, 0.0, 1 / times.frame_rate(stream))
