"""Frames of long videos at regular times, decoded while they are used: memory does not grow with the video."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Generator, Iterator
from typing import Any

import av
import numpy as np

from actionclip_jax.data.video import (
    decode,
    durations,
    errors,
    frame_index,
    limits,
    notes,
    opening,
    stream_choice,
    times,
    upright,
)

LONGEST = 10**7  # cells: 58 days of two frames a second; a damaged time would make memory grow without end
ROUNDING = 1e-6  # seconds: times are sums and products of fractions


Opened = tuple[av.container.InputContainer, av.VideoStream]


@dataclasses.dataclass
class Seen:
    """What decoding has told of a stream."""

    tally: frame_index.Tally = dataclasses.field(default_factory=frame_index.Tally)
    faults: list[str] = dataclasses.field(default_factory=list)
    decoded: int = 0  # frames
    first: float = 0.0  # seconds at which the first and ...
    last: float = 0.0  # ... the last of them are shown
    gap: float = 0.0  # the longest time between two

    def add(self, seconds: float) -> None:
        """A frame was decoded that is shown then."""
        self.first, self.gap = (self.first, max(self.gap, seconds - self.last)) if self.decoded else (seconds, 0.0)
        self.last, self.decoded = seconds, self.decoded + 1


class Grid:
    """A video cut into cells of `spacing` seconds, each represented by one frame.

    It is the one on display half a frame before the cell's middle: at a constant rate T cells have the frames that
    `sampling.segment_middles` takes of T segments.

    Iterating decodes the video once, in order, and yields (`transform([H, W, 3] uint8 RGB)`, cells that the frame
    represents) of every frame that represents any: several cells where frames are further apart than cells. The last
    cell may reach over the video's end, and the first frame stands for what is before it. Frames are upright, as those
    of `video.read_frames`. Raises VideoError.
    """

    def __init__(
        self, path: str | os.PathLike, spacing: float, transform: Callable[[np.ndarray], Any] = lambda image: image
    ) -> None:
        self.path, self.spacing, self.transform = path, spacing, errors.callers(transform)
        self.promised: float | None = None  # length in seconds by the file's header, known once the file is open
        self.length: float | None = None  # the true one, and ...
        self.note: str | None = None  # ... what is wrong with the file: both known at its end

    def __iter__(self) -> Generator[tuple[Any, int]]:
        with errors.name_faults(self.path):
            yield from self._decode()

    def _decode(self) -> Iterator[tuple[Any, int]]:
        seen, given = Seen(), 0
        shown: av.VideoFrame | None = None
        with self._open() as (container, stream):
            self.promised = container.duration / av.time_base if container.duration else None
            step = 1 / times.frame_rate(stream)
            read = seen.tally.count(frame_index.read_packets(container, stream))
            frames = decode.decode_past_damage(read, stream, seen.faults)
            for seconds, frame in times.tell_times(frames, container, stream):
                if seconds > LONGEST * self.spacing:
                    raise errors.VideoError(
                        self.path, f"a frame says it comes after {seconds:.0f} seconds: a damaged time?"
                    )
                if shown is not None and (cells := self._cells_before(seconds + step / 2) - given):
                    yield self._transformed(shown), cells
                    given += cells
                seen.add(seconds)
                shown = frame
            if shown is None:
                raise errors.no_frame_decodes(self.path, seen.faults[0] if seen.faults else None)
            self.length = self._conclude(container, stream, seen)
            if cells := self._cells_before(self.length + step / 2) - given:
                yield self._transformed(shown), cells

    def _open(self) -> contextlib.AbstractContextManager[Opened]:
        return opening.open_stream(self.path)

    def _conclude(self, container: av.container.InputContainer, stream: av.VideoStream, seen: Seen) -> float:
        """Makes the note of a file that was read to its end; returns its length in seconds."""
        hold = seen.tally.hold * float(times.time_base(stream))
        declared = seen.tally.declared(container, stream)
        cut = durations.find_cut(container, stream, seen.first, seen.last, max(seen.gap, hold))
        fault = seen.faults[0] if seen.faults else None
        loss = notes.describe_loss(seen.tally.shown, declared, seen.decoded, cut, fault)
        self.note = notes.join(loss, stream_choice.describe(container, stream))
        return self._find_end(seen, hold, 1 / times.frame_rate(stream))

    def _find_end(self, seen: Seen, hold: float, step: float) -> float:
        """When the last frame goes: it is on display as long as the others are on average, or is held.

        That is believed where the header agrees: a damaged time would make memory grow without end.
        """
        end, latest = seen.last + hold, min((self.promised or 0.0) + times.TOLERANCE, LONGEST * self.spacing)
        if hold > seen.gap + times.TOLERANCE and end < latest:
            return end
        return seen.first + ((seen.last - seen.first) * seen.decoded / (seen.decoded - 1) if seen.decoded > 1 else step)

    def _cells_before(self, seconds: float) -> int:
        """Cells whose middle is before a time."""
        return math.ceil((seconds - ROUNDING) / self.spacing - 0.5)

    def _transformed(self, frame: av.VideoFrame) -> Any:
        limits.check_size(self.path, frame)
        return self.transform(upright.to_upright_rgb(frame, None))
