"""Finds videos and decodes exactly the frames asked for, with one codec thread (many workers beat many threads)."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import numpy as np
from av.sidedata import sidedata

from actionclip_jax.data import video_index

SUFFIXES = (".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts")
SUFFIXES += (".ogv", ".ts", ".vob", ".webm", ".wmv")


class VideoError(ValueError):
    """A video that cannot be used: which one, and why."""

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        """Both go to the base class, so that the error survives pickling between worker processes."""
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        """`path: reason`."""
        return f"{self.path}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Frames:
    """The frames asked for, in that order."""

    images: list[Any]  # [K] what the transform made of each frame
    indices: np.ndarray  # [K] int64
    timestamps: np.ndarray  # [K] float64: seconds since the first frame of the video
    length: int  # frames of the whole video
    note: str | None  # what is wrong with the file although these frames could be had


def find_videos(inputs: Sequence[str | os.PathLike]) -> list[pathlib.Path]:
    """Files as given, videos below directories and videos matching globs (`**` too), each once; hidden files never."""
    found, unmatched = {}, []
    for item in inputs:
        paths = _expand(pathlib.Path(item).expanduser())
        for path in paths:
            found.setdefault(path.absolute(), path)
        if not paths:
            unmatched.append(str(item))
    if unmatched:
        raise ValueError(f"no video found for: {', '.join(unmatched)} (known suffixes: {' '.join(SUFFIXES)})")
    return list(found.values())


def _expand(path: pathlib.Path) -> list[pathlib.Path]:
    if path.is_file():
        return [path]
    matches = [path] if path.is_dir() else pathlib.Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    files = itertools.chain.from_iterable(match.rglob("*") if match.is_dir() else [match] for match in matches)
    return sorted(
        {file for file in files if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()}
    )


def read_frames(
    path: str | os.PathLike, choose: Callable[[int], np.ndarray], transform: Callable[[np.ndarray], Any]
) -> Frames:
    """The frames `choose(number of frames)` (any order, repeats allowed), each as `transform([H, W, 3] uint8 RGB)`.

    Frames are upright (the file's rotation is applied) and keep their stored pixels: sample aspect ratio is ignored,
    interlaced video stays so. Where the file's index can be trusted only the groups of pictures that hold wanted frames
    are decoded, otherwise everything: the frames are the same. `choose` is called again where the number of frames
    that decode is not the one indexed. Damage beyond what had to be decoded goes unnoticed. Raises VideoError.
    """
    try:
        with _open(path) as (container, stream):
            index = video_index.read_index(container, stream)
        if index.exact:
            wanted = _Wanted(choose(len(index.pts)), len(index.pts), transform)
            with _open(path) as (container, stream):
                if _decode_groups(container, stream, index, wanted):
                    seconds = (index.pts - index.pts[0]) * float(stream.time_base)
                    return wanted.frames(seconds, _describe_loss(index, len(index.pts), None))
        return _read_sequentially(path, index, choose, transform)
    except av.error.FFmpegError as error:
        raise VideoError(path, error.strerror) from error


def _read_sequentially(
    path: str | os.PathLike,
    index: video_index.Index,
    choose: Callable[[int], np.ndarray],
    transform: Callable[[np.ndarray], Any],
) -> Frames:
    """Decodes everything; again if the first guess at the number of frames was wrong and others are wanted."""
    length = max(index.packets, 1)
    while True:
        wanted = _Wanted(choose(length), length, transform)
        with _open(path) as (container, stream):
            times, fault = _decode_all(container, stream, wanted)
            if not times:
                raise VideoError(path, f"no frame decodes ({fault or 'the stream is empty'})")
            if len(times) == length:
                return wanted.frames(_seconds(stream, times), _describe_loss(index, length, fault))
        length = len(times)


class _Wanted:
    """Collects the transformed frames that are wanted; the full-size frame is dropped at once."""

    def __init__(self, indices: np.ndarray, length: int, transform: Callable[[np.ndarray], Any]) -> None:
        self.indices = np.asarray(indices, np.int64)
        if self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < length:
            raise ValueError(f"frames {self.indices.tolist()} were chosen from a video of {length} frames")
        self.length = length
        self.transform = transform
        self.images = dict.fromkeys(self.indices.tolist())

    def add(self, number: int, frame: av.VideoFrame) -> None:
        if number in self.images:
            self.images[number] = self.transform(_to_upright_rgb(frame))

    def frames(self, seconds: np.ndarray, note: str | None) -> Frames:
        images = [self.images[number] for number in self.indices.tolist()]
        return Frames(images, self.indices, seconds[self.indices], self.length, note)


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    file = pathlib.Path(path).absolute()  # "part: 1.mp4" alone would be a file of the protocol "part"
    if not file.exists():
        raise VideoError(path, "no such file")
    if file.is_dir():
        raise VideoError(path, "is a directory")
    if file.stat().st_size == 0:
        raise VideoError(path, "the file is empty")
    try:
        container = av.open(str(file))
    except av.error.FFmpegError as error:
        raise VideoError(path, f"cannot be opened as a video ({error.strerror})") from error
    with container:
        # Cover art of an audio file is a video stream too; "tty" draws any text file as a video of its letters.
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams or container.format.name == "tty":
            raise VideoError(path, "has no video stream")
        if streams[0].codec_context is None:
            raise VideoError(path, "this build of FFmpeg has no decoder for its video codec")
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]


def _decode_groups(
    container: av.container.InputContainer, stream: av.VideoStream, index: video_index.Index, wanted: _Wanted
) -> bool:
    """Decodes the closed groups that hold wanted frames, each up to its last one. False where the index proves wrong.

    Groups are skipped by reading their packets and dropping them, which is cheap and, unlike seeking, exact.
    """
    decoder = stream.codec_context
    decoder.options = {"err_detect": "explode"}  # damage would be patched from other frames here than in a full decode
    packets = video_index.read_packets(container, stream)
    for start, stop in itertools.pairwise(index.groups.tolist()):
        group = itertools.islice(packets, stop - start)
        last = max((number for number in wanted.images if start <= number < stop), default=-1)
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
    times, fault = [], None
    packets = itertools.chain(video_index.read_packets(container, stream), [None])
    while True:
        try:
            packet = next(packets)
            frames = stream.codec_context.decode(packet)
        except StopIteration:
            return times, fault
        except av.error.FFmpegError as error:
            fault = fault or error.strerror
            continue
        for frame in frames:
            wanted.add(len(times), frame)
            times.append(frame.pts)


def _seconds(stream: av.VideoStream, times: list[int | None]) -> np.ndarray:
    """[N] float64 since the first frame; by the frame rate where times are missing or do not rise (AVI's guesses)."""
    if None not in times and all(a < b for a, b in itertools.pairwise(times)):
        return (np.array(times, np.int64) - times[0]) * float(stream.time_base)
    rate = stream.average_rate or stream.guessed_rate or 25  # 25 is FFmpeg's own default for a stream without times
    return np.arange(len(times)) / float(rate)


def _describe_loss(index: video_index.Index, decoded: int, fault: str | None) -> str | None:
    if index.packets < index.declared and decoded < index.declared:
        return f"truncated: {decoded} of {index.declared} frames decode; those were used"
    if fault is not None:
        return f"damaged ({fault}): {decoded} of {index.packets} frames decode; those were used"
    return None


def _to_upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    """[H, W, 3] uint8, turned and mirrored by multiples of 90 degrees as the file's display matrix says."""
    image = frame.reformat(format="rgb24", threads=1).to_ndarray()
    matrix = frame.side_data.get(sidedata.Type.DISPLAYMATRIX)
    if matrix is None:
        return image
    # A stored point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
