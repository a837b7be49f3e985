"""Frames of long videos at regular times, decoded while they are used: memory does not grow with the video."""

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import av
import numpy as np

from actionclip_jax.data.video import decode, frame_index, streams, upright

LONGEST = 10**7  # cells: 58 days of two frames a second; a damaged time would make memory grow without end
HELD = 0.25  # seconds by which the last frame has to stay longer than any other, and headers may be wrong
ROUNDING = 1e-6  # seconds: times are sums and products of fractions


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
        self.path, self.spacing, self.transform = path, spacing, decode.callers(transform)
        self.promised: float | None = None  # length in seconds by the file's header, known once the file is open
        self.length: float | None = None  # the true one, and ...
        self.note: str | None = None  # ... what is wrong with the file: both known at its end

    def __iter__(self) -> Generator[tuple[Any, int], None, None]:
        with decode.name_faults(self.path):
            yield from self._decode()

    def _decode(self) -> Iterator[tuple[Any, int]]:
        tally, faults = frame_index.Tally(), []
        decoded, given, shown, first, last, gap = 0, 0, None, 0.0, 0.0, 0.0
        with decode.open_stream(decode.Source(self.path)) as (container, stream):
            self.promised = container.duration / av.time_base if container.duration else None
            step = 1 / decode.frame_rate(stream)
            read = tally.count(frame_index.read_packets(container, stream))
            for seconds, frame in tell_times(decode.decode_past_damage(read, stream, faults), container, stream):
                if seconds > LONGEST * self.spacing:
                    raise decode.VideoError(
                        self.path, f"a frame says it comes after {seconds:.0f} seconds: a damaged time?"
                    )
                if decoded and (cells := self._cells_before(seconds + step / 2) - given):
                    yield self._transformed(shown), cells
                    given += cells
                first, gap = (first, max(gap, seconds - last)) if decoded else (seconds, 0.0)
                shown, last, decoded = frame, seconds, decoded + 1
            if shown is None:
                raise decode.no_frame_decodes(self.path, faults[0] if faults else None)
            hold = tally.hold * float(stream.time_base)
            self.length = self._find_end(first, last, decoded, gap, hold, step)
            if cells := self._cells_before(self.length + step / 2) - given:
                yield self._transformed(shown), cells
            declared = tally.declared(container, stream)
            cut = frame_index.find_cut(container, stream, first, last, max(gap, hold))
            loss = decode.describe_loss(tally.shown, declared, decoded, cut, faults[0] if faults else None)
            self.note = decode.join_notes(loss, streams.describe_choice(container, stream))

    def _find_end(self, first: float, last: float, decoded: int, gap: float, hold: float, step: float) -> float:
        """When the last frame goes: it is on display as long as the others are on average, or is held.

        That is believed where the header agrees: a damaged time would make memory grow without end.
        """
        end, latest = last + hold, min((self.promised or 0.0) + HELD, LONGEST * self.spacing)
        if hold > gap + HELD and end < latest:
            return end
        return first + ((last - first) * decoded / (decoded - 1) if decoded > 1 else step)

    def _cells_before(self, seconds: float) -> int:
        """Cells whose middle is before a time."""
        return math.ceil((seconds - ROUNDING) / self.spacing - 0.5)

    def _transformed(self, frame: av.VideoFrame) -> Any:
        decode.check_size(self.path, frame)
        return self.transform(upright.to_upright_rgb(frame, None))


def tell_times(
    frames: Iterable[av.VideoFrame], container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[float, av.VideoFrame]]:
    """(seconds on a player's clock, frame); by the frame rate where a time is missing or not later than the last."""
    first, seconds, delay, step = None, 0.0, 0.0, 1 / decode.frame_rate(stream)
    for number, frame in enumerate(frames):
        if number == 0:
            # AVI stores no presentation times: they are a guess as soon as frames are reordered.
            guessed = container.format.name == "avi" and stream.codec_context.has_b_frames
            first = None if guessed else frame.pts
            seconds = delay = frame_index.find_delay(container, stream, first)
        else:
            told = math.nan if None in (first, frame.pts) else delay + float((frame.pts - first) * stream.time_base)
            seconds = told if told > seconds else seconds + step  # NaN is not greater
        yield seconds, frame
