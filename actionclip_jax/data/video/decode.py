"""Decodes exactly the frames of a video asked for, with one codec thread (many workers beat many threads)."""

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import av
import av.video.frame
import numpy as np

from actionclip_jax.data.video import errors, frame_index, limits, notes, opening, parts, times, upright

Image = TypeVar("Image")  # what a caller's transform makes of a frame
Choose = Callable[[int], np.ndarray]  # number of frames -> indices [K] of those wanted
Transform = Callable[[np.ndarray], Image]  # [H, W, 3] uint8 RGB -> what is kept of it


@dataclasses.dataclass(frozen=True)
class Frames(Generic[Image]):
    """The frames asked for, in that order."""

    images: list[Image]  # [K] what the transform made of each frame
    indices: np.ndarray  # [K] int64
    timestamps: np.ndarray  # [K] float64: seconds on a player's clock, which starts where the file does
    length: int  # frames of the video, or of the part of it that was asked for
    note: str | None  # what is wrong with the file, or doubtful, although these frames could be had


def read_frames(source: parts.Source | str | os.PathLike, choose: Choose, transform: Transform[Image]) -> Frames[Image]:
    """The frames `choose(number of frames)` (any order, repeats allowed), each as `transform([H, W, 3] uint8 RGB)`.

    Frames are upright (the file's rotation is applied) and keep their stored pixels: sample aspect ratio is ignored,
    interlaced video stays so. Where the file's index can be trusted only the groups of pictures that hold wanted frames
    are decoded, otherwise everything: the frames are the same. `choose` is called again where the number of frames
    that decode is not the one indexed. Damage beyond what had to be decoded goes unnoticed. Raises VideoError.

    Shrinking to `short_side` is one pass with the conversion to RGB (swscale, bicubic), three to four times quicker
    than PIL's bicubic filter and 42 to 47 dB away from it on filmed video, which is as near as PIL's bilinear filter
    comes; saturated test charts, whose chroma it treats otherwise, differ more (26 dB).
    """
    source = source if isinstance(source, parts.Source) else parts.Source(source)
    with errors.name_faults(source.path):
        return _read_frames(source, errors.callers(lambda n: checked_choice(choose(n), n)), errors.callers(transform))


def _read_frames(source: parts.Source, choose: Choose, transform: Transform[Image]) -> Frames[Image]:
    with opening.open_stream(source.path) as (container, stream):
        index = frame_index.read_index(container, stream)
        limits.check_frames(source.path, index.packets)
        if index.exact:
            seconds = (index.pts - index.pts[0]) * float(times.time_base(stream))
            seconds += times.find_delay(container, stream, int(index.pts[0]))
            wanted = _Wanted(source, seconds, choose, transform)
            if _decode_groups(source, stream, index, wanted):
                return wanted.frames(seconds, notes.describe(source, container, stream, index, seconds, None))
        limits.check_work(source.path, stream, index.packets)
    return _read_sequentially(source, index, choose, transform)


def _read_sequentially(
    source: parts.Source, index: frame_index.Index, choose: Choose, transform: Transform[Image]
) -> Frames[Image]:
    """Decodes everything; again if the first guess at the frames' number or times was wrong and others are wanted."""
    everything = source.start <= 0 and source.end == math.inf
    seconds = np.zeros(max(index.packets, 1)) if everything else None
    while True:
        wanted = _Wanted(source, seconds, choose, transform)
        with opening.open_stream(source.path) as (container, stream):
            pts, fault = _decode_all(container, stream, wanted)
            if not pts:
                raise errors.no_frame_decodes(source.path, fault)
            seconds = times.to_seconds(container, stream, pts)
            if wanted.window == parts.find_window(source, seconds):
                return wanted.frames(seconds, notes.describe(source, container, stream, index, seconds, fault))


class _Wanted(Generic[Image]):
    """Collects the transformed frames that are wanted; the full-size frame is dropped at once."""

    def __init__(
        self, source: parts.Source, seconds: np.ndarray | None, choose: Choose, transform: Transform[Image]
    ) -> None:
        self.path, self.transform, self.short_side = source.path, transform, source.short_side
        self.window, self.indices = (0, 0), np.empty(0, np.int64)
        if seconds is not None:  # otherwise the frames' times are yet to be found, and nothing can be chosen
            first, stop = self.window = parts.find_window(source, seconds)
            self.indices = first + choose(stop - first)
        self.numbers = frozenset(self.indices.tolist())
        self.images: dict[int, Image] = {}

    def add(self, number: int, frame: av.VideoFrame) -> None:
        if number in self.numbers:
            limits.check_size(self.path, frame)
            self.images[number] = self.transform(upright.to_upright_rgb(frame, self.short_side))

    def frames(self, seconds: np.ndarray, note: str | None) -> Frames[Image]:
        images = [self.images[number] for number in self.indices.tolist()]
        return Frames(images, self.indices, seconds[self.indices], self.window[1] - self.window[0], note)


def checked_choice(indices: np.ndarray, length: int) -> np.ndarray:
    """[K] int64, or a ValueError where they are not frames of a video that has `length`."""
    indices = np.asarray(indices, np.int64)
    if indices.size and not 0 <= indices.min() <= indices.max() < length:
        raise ValueError(f"frames {indices.tolist()} were chosen from a video of {length} frames")
    return indices


def _decode_groups(source: parts.Source, stream: av.VideoStream, index: frame_index.Index, wanted: _Wanted) -> bool:
    """Decodes the closed groups that hold wanted frames, each up to its last one. False where the index proves wrong.

    Groups are skipped by dropping their packets, which is cheap and, unlike seeking, exact.
    """
    starts = index.groups[np.searchsorted(index.groups, np.sort(wanted.indices), "right") - 1]
    ends = dict(zip(starts.tolist(), np.sort(wanted.indices).tolist(), strict=True))  # the last one of a group stays
    limits.check_work(source.path, stream, sum(end - start + 1 for start, end in ends.items()))
    if index.kept is not None:
        return _decode_wanted(stream.codec_context, iter(index.kept), index, wanted)
    with opening.open_stream(source.path) as (container, stream):
        return _decode_wanted(stream.codec_context, frame_index.read_packets(container, stream), index, wanted)


def _decode_wanted(
    decoder: av.VideoCodecContext, packets: Iterator[av.Packet], index: frame_index.Index, wanted: _Wanted
) -> bool:
    decoder.options |= {"err_detect": "explode"}  # damage would be patched from other frames here than in a full decode
    for start, stop in itertools.pairwise(index.groups.tolist()):
        group = itertools.islice(packets, stop - start)
        last = max((number for number in wanted.numbers if start <= number < stop), default=-1)
        number = start
        while number <= last:
            try:
                packet = next(group, None)  # None, after the group's last packet, drains the decoder
                frames = decoder.decode(packet)
            except av.error.FFmpegError:
                return False
            for frame in frames:
                # An intra-refresh "keyframe" is no picture of its own: decoding from it is not exact.
                is_start = frame.pict_type == av.video.frame.PictureType.I
                if number == stop or frame.pts != index.pts[number] or (number == start and not is_start):
                    return False
                if frame.is_corrupt:
                    return False
                wanted.add(number, frame)
                number += 1
            if packet is None and number <= last:
                return False
        for _ in group:
            pass
        if last >= 0:
            decoder.flush_buffers()
    return True


def _decode_all(
    container: av.container.InputContainer, stream: av.VideoStream, wanted: _Wanted
) -> tuple[list[int | None], str | None]:
    """Decodes past damage to the end. Returns the times of all frames and what the first damage was."""
    pts: list[int | None] = []
    faults: list[str] = []
    for frame in decode_past_damage(frame_index.read_packets(container, stream), stream, faults):
        wanted.add(len(pts), frame)
        pts.append(frame.pts)
    return pts, faults[0] if faults else None


def decode_past_damage(
    packets: Iterator[av.Packet], stream: av.VideoStream, faults: list[str]
) -> Iterator[av.VideoFrame]:
    """Every frame that decodes, in the order they are shown; what the damage was is added to `faults`.

    A decoder patches what it lacks from other pictures, and marks the first such picture.
    """
    tally = frame_index.Tally()
    to_decode = itertools.chain(tally.count(packets), [None])  # None drains the decoder
    while True:
        try:
            packet = next(to_decode)
            frames = stream.codec_context.decode(packet)
        except StopIteration:
            if tally.broken and not tally.goes_back:  # where time starts anew, whole files were joined
                faults.append("data is missing")
            return
        except av.error.FFmpegError as error:
            faults.append(errors.reason_of(error))
            if not stream.codec_context.is_open:  # the decoder refuses the video as a whole
                return
            continue
        for frame in frames:
            if frame.is_corrupt:
                faults.append("a picture is incomplete")
            yield frame
