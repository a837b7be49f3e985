"""When frames are shown: seconds on a player's clock, which starts where the file does."""

import fractions
import itertools
from collections.abc import Iterable, Iterator, Sequence

import av
import numpy as np

TOLERANCE = 0.25  # seconds by which headers may be wrong
AVI_GUESS = 3  # frames by which FFmpeg may guess that the first is late: AVI says when frames are decoded, not shown
ROUNDING = 2e-6  # seconds: a file's start is told in microseconds


def time_base(stream: av.VideoStream) -> fractions.Fraction:
    """Seconds of a unit of the stream's times."""
    if stream.time_base is None:
        raise ValueError("the stream does not say in what its times are counted")
    return stream.time_base


def frame_rate(stream: av.VideoStream) -> float:
    """Frames a second, as far as the file says it."""
    return float(stream.average_rate or stream.guessed_rate or 25)  # FFmpeg's own default for a stream without times


def find_delay(container: av.container.InputContainer, stream: av.VideoStream, first: int | None) -> float:
    """Seconds from where the file starts, a player's 0, to its first frame, shown at `first` of the time base."""
    if first is None or container.start_time is None:
        return 0.0
    shown = float(first * time_base(stream))
    delay = shown - find_start(container, shown)
    guess = AVI_GUESS * float(1 / (stream.average_rate or 25)) if container.format.name == "avi" else 0.0
    return delay if delay > ROUNDING + guess else 0.0


def find_start(container: av.container.InputContainer, shown: float) -> float:
    """Where the file starts, a player's 0, in the seconds of its streams; its first frame is `shown` then.

    Sound that starts below 0 is what a decoder needs to get going, and is not played.
    """
    return max((container.start_time or 0) / av.time_base, min(0.0, shown))


def to_seconds(
    container: av.container.InputContainer, stream: av.VideoStream, times: Sequence[int | None]
) -> np.ndarray:
    """[N] float64 of all frames' times; by the frame rate where some are missing or do not rise (AVI's guesses)."""
    told = [time for time in times if time is not None]
    if len(told) == len(times) and all(a < b for a, b in itertools.pairwise(told)):
        seconds = (np.array(told, np.int64) - told[0]) * float(time_base(stream))
    else:
        seconds = np.arange(len(times)) / frame_rate(stream)
    return seconds + find_delay(container, stream, times[0])


def tell_times(
    frames: Iterable[av.VideoFrame], container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[float, av.VideoFrame]]:
    """(seconds, frame) one by one; by the frame rate where a time is missing or not later than the last."""
    first, seconds, delay, step = None, 0.0, 0.0, 1 / frame_rate(stream)
    for number, frame in enumerate(frames):
        if number == 0:
            # AVI stores no presentation times: they are a guess as soon as frames are reordered.
            guessed = container.format.name == "avi" and stream.codec_context.has_b_frames
            first = None if guessed else frame.pts
            seconds = delay = find_delay(container, stream, first)
        elif first is None or frame.pts is None:
            seconds += step
        else:
            told = delay + float((frame.pts - first) * time_base(stream))
            seconds = told if told > seconds else seconds + step
        yield seconds, frame


def clock(seconds: float, decimals: int = 1) -> str:
    """`75.25` -> `1:15.2`, `3600` -> `1:00:00.0`."""
    minutes, rest = divmod(round(seconds, decimals), 60)
    hours, minutes = divmod(int(minutes), 60)
    rest = f"{rest:0{3 + decimals if decimals else 2}.{decimals}f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"
