"""Decodes exactly the frames of a video asked for, with one codec thread (many workers beat many threads)."""

import contextlib
import dataclasses
import errno
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np

from actionclip_jax.data.video import animations, frame_index, streams, upright

# Of files that are videos wherever they lie. Pictures (.webp, .avif, .png) that may move are read where they are named.
SUFFIXES = (".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".apng", ".asf", ".avc", ".avi", ".divx", ".dv", ".f4v")
SUFFIXES += (".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2")
SUFFIXES += (".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4", ".mpg")
SUFFIXES += (".mpg4", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".tp")
SUFFIXES += (".trp", ".ts", ".vob", ".vro", ".webm", ".wmv", ".xvid", ".y4m")
# What may be asked of the machine by a file whose header can say anything: beyond it the file is refused.
MAX_PIXELS = 8192 * 4320  # of a frame: the largest 8K format; a decoder holds up to 16 at 1.5 bytes a pixel
MAX_RATIO = 100  # of the sides: a line of 65,535 pixels would become gigabytes when its short side is made 224
LATE = 1.0  # seconds by which a list's times may be behind the end of a video: some are whole seconds
JPEG = b"\xff\xd8"  # how one begins, or a series of them; FFmpeg finds them in documents and archives too
MAX_DECODED = 1 << 41  # pixels decoded to reach the frames asked for: ten hours of 1080p at 30 a second, all of it
# By what they hold, whatever a file is called. Left out is what opens further files (concat, hls, dash, imf), asks the
# network (sdp, rtsp), or makes pictures of anything (tty, lavfi, rawvideo).
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,mpegvideo,ogg,gif,nut,mxf,ivf,m4v,h264,hevc"
FORMATS += ",mjpeg,obu,apng,image2,jpeg_pipe,png_pipe,webp_pipe,webp_anim,bmp_pipe,mp3,wav,aac,flac,dv,rm,yuv4mpegpipe"
OPEN_OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "file",
    "pattern_type": "none",  # image2 would read 1%d.jpg as a series of files
    "max_pixels": str(MAX_PIXELS),
}


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


class _CallersError(Exception):
    """Carries what a caller's own function raised, which is no fault of the video, as its cause."""


@contextlib.contextmanager
def name_faults(path: str | os.PathLike, what: str = "cannot be read") -> Iterator[None]:
    """Whatever a library raises while it reads a video becomes that video's VideoError: `what` (why)."""
    mistake = None
    try:
        yield
    except VideoError:
        raise
    except _CallersError as error:
        mistake = error.__cause__
    except Exception as error:
        told = getattr(error, "strerror", None) or str(error)
        if not isinstance(error, ValueError | OSError | av.error.FFmpegError):  # which speak to people
            told = f"{type(error).__name__}: {told}"
        raise VideoError(path, f"{what} ({told})") from error
    if mistake:
        raise mistake


def callers(function: Callable) -> Callable:
    """A function given by a caller, so wrapped that `name_faults` lets its errors pass as they are."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise _CallersError from error

    return call


@dataclasses.dataclass(frozen=True)
class Frames:
    """The frames asked for, in that order."""

    images: list[Any]  # [K] what the transform made of each frame
    indices: np.ndarray  # [K] int64
    timestamps: np.ndarray  # [K] float64: seconds on a player's clock, which starts where the file does
    length: int  # frames of the video, or of the part of it that was asked for
    note: str | None  # what is wrong with the file, or doubtful, although these frames could be had


@dataclasses.dataclass(frozen=True)
class Source:
    """A video and how to look at it."""

    path: str | os.PathLike
    start: float = 0.0  # seconds on a player's clock: only frames from here on ...
    end: float = math.inf  # ... and before here exist
    unit: str = "seconds"  # of start and end; or "frames", numbered from 0
    short_side: int | None = None  # larger frames are shrunk to this by the decoder


def read_frames(
    source: Source | str | os.PathLike, choose: Callable[[int], np.ndarray], transform: Callable[[np.ndarray], Any]
) -> Frames:
    """The frames `choose(number of frames)` (any order, repeats allowed), each as `transform([H, W, 3] uint8 RGB)`.

    Frames are upright (the file's rotation is applied) and keep their stored pixels: sample aspect ratio is ignored,
    interlaced video stays so. Where the file's index can be trusted only the groups of pictures that hold wanted frames
    are decoded, otherwise everything: the frames are the same. `choose` is called again where the number of frames
    that decode is not the one indexed. Damage beyond what had to be decoded goes unnoticed. Raises VideoError.

    Shrinking to `short_side` is one pass with the conversion to RGB (swscale, bicubic), three to four times quicker
    than PIL's bicubic filter and 42 to 47 dB away from it on filmed video, which is as near as PIL's bilinear filter
    comes; saturated test charts, whose chroma it treats otherwise, differ more (26 dB).
    """
    source = source if isinstance(source, Source) else Source(source)
    with name_faults(source.path):
        return _read_frames(source, callers(lambda n: checked_choice(choose(n), n)), callers(transform))


def _read_frames(source: Source, choose: Callable[[int], np.ndarray], transform: Callable[[np.ndarray], Any]) -> Frames:
    with open_stream(source) as (container, stream):
        index = frame_index.read_index(container, stream)
        if index.packets > frame_index.MAX_FRAMES:
            raise VideoError(source.path, f"has more than {frame_index.MAX_FRAMES} frames")
        if index.exact:
            seconds = (index.pts - index.pts[0]) * float(stream.time_base)
            seconds += frame_index.find_delay(container, stream, int(index.pts[0]))
            wanted = _Wanted(source, seconds, choose, transform)
            if _decode_groups(source, stream, index, wanted):
                return wanted.frames(seconds, describe(source, container, stream, index, seconds, None))
        _check_work(source, stream, index.packets)
    return _read_sequentially(source, index, choose, transform)


def _read_sequentially(
    source: Source,
    index: frame_index.Index,
    choose: Callable[[int], np.ndarray],
    transform: Callable[[np.ndarray], Any],
) -> Frames:
    """Decodes everything; again if the first guess at the frames' number or times was wrong and others are wanted."""
    everything = source.start <= 0 and source.end == math.inf
    seconds = np.zeros(max(index.packets, 1)) if everything else None
    while True:
        wanted = _Wanted(source, seconds, choose, transform)
        with open_stream(source) as (container, stream):
            times, fault = _decode_all(container, stream, wanted)
            if not times:
                raise no_frame_decodes(source.path, fault)
            seconds = _seconds(container, stream, times)
            if wanted.window == _find_window(source, seconds):
                return wanted.frames(seconds, describe(source, container, stream, index, seconds, fault))


def _find_window(source: Source, seconds: np.ndarray) -> tuple[int, int]:
    """(first, stop): the frames from `start` on and before `end`."""
    rounding = 1e-6  # lists give times in a few decimals
    places = np.arange(len(seconds)) if source.unit == "frames" else seconds
    first, stop = np.searchsorted(places, (source.start - rounding, source.end - rounding)).tolist()
    if first == stop:
        raise VideoError(source.path, _describe_gap(source, places, first))
    return first, stop


def _describe_gap(source: Source, places: np.ndarray, number: int) -> str:
    """That no frame of these `places` is in the part asked for, and which are near: it lies before that `number`."""
    mark = " s" if source.unit == "seconds" else ""
    end = "the end" if source.end == math.inf else f"{source.end:g}{mark}"
    near = [f"{place:.2f}" if mark else f"{place:g}" for place in places[max(0, number - 1) : number + 1]]
    told = {0: "the first one is", len(places): "the last one is"}.get(number, "the nearest are")
    return f"has no frame from {source.start:g}{mark} to {end}: {told} at {' and '.join(near)}{mark}"


def _describe_end(
    source: Source, container: av.container.InputContainer, seconds: np.ndarray, gap: float
) -> str | None:
    """That the part asked for goes on behind the video's end, whose frames [N] have these times."""
    if source.unit == "frames":
        length, late, mark = len(seconds), source.end > len(seconds), "frame "
    else:
        length = max(float(seconds[-1]) + gap, (container.duration or 0) / av.time_base)
        late, mark = source.end > length + LATE, ""
    if source.end == math.inf or not late:
        return None
    unit = "" if mark else " s"
    return f"the part asked for ends at {mark}{source.end:g}{unit}, the video at {mark}{round(length, 1):g}{unit}"


class _Wanted:
    """Collects the transformed frames that are wanted; the full-size frame is dropped at once."""

    def __init__(
        self,
        source: Source,
        seconds: np.ndarray | None,
        choose: Callable[[int], np.ndarray],
        transform: Callable[[np.ndarray], Any],
    ) -> None:
        self.path, self.transform, self.short_side = source.path, transform, source.short_side
        self.window, self.indices = (0, 0), np.empty(0, np.int64)
        if seconds is not None:  # otherwise the frames' times are yet to be found, and nothing can be chosen
            first, stop = self.window = _find_window(source, seconds)
            self.indices = first + choose(stop - first)
        self.images = dict.fromkeys(self.indices.tolist())

    def add(self, number: int, frame: av.VideoFrame) -> None:
        if number in self.images:
            check_size(self.path, frame)
            self.images[number] = self.transform(upright.to_upright_rgb(frame, self.short_side))

    def frames(self, seconds: np.ndarray, note: str | None) -> Frames:
        images = [self.images[number] for number in self.indices.tolist()]
        return Frames(images, self.indices, seconds[self.indices], self.window[1] - self.window[0], note)


def checked_choice(indices: np.ndarray, length: int) -> np.ndarray:
    """[K] int64, or a ValueError where they are not frames of a video that has `length`."""
    indices = np.asarray(indices, np.int64)
    if indices.size and not 0 <= indices.min() <= indices.max() < length:
        raise ValueError(f"frames {indices.tolist()} were chosen from a video of {length} frames")
    return indices


@contextlib.contextmanager
def open_stream(source: Source) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """An open file and the video in it. Raises VideoError where there is none."""
    file = _find_file(source.path)
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(_open(source.path, file))
        if container.format.name == "mjpeg" and not _begins_with(file, JPEG):
            raise VideoError(source.path, "cannot be opened as a video (it holds JPEGs, but does not begin with one)")
        if not any(not stream.disposition & streams.COVER for stream in container.streams.video):
            raise VideoError(source.path, "has no video stream")
        stream = streams.choose(container)
        if stream is None or animations.is_animated_webp(container, file):
            container = stack.enter_context(animations.transcode(file, describe_excess))
            stream = container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError(source.path, "this build of FFmpeg has no decoder for its video codec")
        if streams.has_private_colors(stream):
            raise VideoError(
                source.path, "its colours are Dolby Vision's own (profile 5), which are not converted here"
            )
        check_size(source.path, stream)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the size may grow from frame to frame
        yield container, stream


def _open(path: str | os.PathLike, file: str) -> av.container.InputContainer:
    try:
        return av.open(file, options=OPEN_OPTIONS, **frame_index.ANY_METADATA)
    except av.error.FFmpegError as error:
        reason = "not a format that is read here" if error.errno == errno.EINVAL else error.strerror
        raise VideoError(path, f"cannot be opened as a video ({reason})") from error
    except OSError as error:  # no permission, a disk that fails, a name too long
        raise VideoError(path, error.strerror or str(error)) from error


def _begins_with(file: str, mark: bytes) -> bool:
    with pathlib.Path(file).open("rb") as opened:
        return opened.read(len(mark)) == mark


def _find_file(path: str | os.PathLike) -> str:
    file = pathlib.Path(path).absolute()  # "part: 1.mp4" alone would be a file of the protocol "part"
    if not file.exists():
        raise VideoError(path, "no such file")
    if file.is_dir():
        raise VideoError(path, "is a directory")
    if not file.is_file():
        raise VideoError(path, "not a file")  # a pipe would be waited for, a device has no end
    if file.stat().st_size == 0:
        raise VideoError(path, "the file is empty")
    return str(file)


def _decode_groups(source: Source, stream: av.VideoStream, index: frame_index.Index, wanted: _Wanted) -> bool:
    """Decodes the closed groups that hold wanted frames, each up to its last one. False where the index proves wrong.

    Groups are skipped by dropping their packets, which is cheap and, unlike seeking, exact.
    """
    starts = index.groups[np.searchsorted(index.groups, np.sort(wanted.indices), "right") - 1]
    ends = dict(zip(starts.tolist(), np.sort(wanted.indices).tolist(), strict=True))  # the last one of a group stays
    _check_work(source, stream, sum(end - start + 1 for start, end in ends.items()))
    if index.kept is not None:
        return _decode_wanted(stream.codec_context, iter(index.kept), index, wanted)
    with open_stream(source) as (container, stream):
        return _decode_wanted(stream.codec_context, frame_index.read_packets(container, stream), index, wanted)


def _decode_wanted(
    decoder: av.VideoCodecContext, packets: Iterator[av.Packet], index: frame_index.Index, wanted: _Wanted
) -> bool:
    decoder.options |= {"err_detect": "explode"}  # damage would be patched from other frames here than in a full decode
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
    times, faults = [], []
    for frame in decode_past_damage(frame_index.read_packets(container, stream), stream, faults):
        wanted.add(len(times), frame)
        times.append(frame.pts)
    return times, faults[0] if faults else None


def decode_past_damage(
    packets: Iterator[av.Packet], stream: av.VideoStream, faults: list[str]
) -> Iterator[av.VideoFrame]:
    """Every frame that decodes, in the order they are shown; what the damage was is added to `faults`.

    A decoder patches what it lacks from other pictures, and marks the first such picture.
    """
    tally = frame_index.Tally()
    packets = itertools.chain(tally.count(packets), [None])  # None drains the decoder
    while True:
        try:
            packet = next(packets)
            frames = stream.codec_context.decode(packet)
        except StopIteration:
            if tally.broken and not tally.goes_back:  # where time starts anew, whole files were joined
                faults.append("data is missing")
            return
        except av.error.FFmpegError as error:
            faults.append(error.strerror)
            if not stream.codec_context.is_open:  # the decoder refuses the video as a whole
                return
            continue
        for frame in frames:
            if frame.is_corrupt:
                faults.append("a picture is incomplete")
            yield frame


def _seconds(container: av.container.InputContainer, stream: av.VideoStream, times: list[int | None]) -> np.ndarray:
    """[N] float64 on a player's clock; by the frame rate where times are missing or do not rise (AVI's guesses)."""
    if None not in times and all(a < b for a, b in itertools.pairwise(times)):
        seconds = (np.array(times, np.int64) - times[0]) * float(stream.time_base)
    else:
        seconds = np.arange(len(times)) / frame_rate(stream)
    return seconds + frame_index.find_delay(container, stream, times[0])


def check_size(path: str | os.PathLike, frame: av.VideoStream | av.VideoFrame) -> None:
    """Raises VideoError for frames that are too large to be read."""
    if problem := describe_excess(frame.height, frame.width):
        raise VideoError(path, f"has frames of {problem}")


def describe_excess(height: int, width: int) -> str | None:
    """What is wrong with a picture of this size, if anything."""
    if height * width > MAX_PIXELS or max(height, width) > MAX_RATIO * max(1, min(height, width)):
        return f"{width}x{height} pixels: at most {MAX_PIXELS} of them, and sides of at most 1:{MAX_RATIO}, are read"
    return None


def _check_work(source: Source, stream: av.VideoStream, frames: int) -> None:
    """Raises VideoError where so many frames are too many to decode."""
    if frames * stream.height * stream.width > MAX_DECODED:
        size = f"{stream.width}x{stream.height}"
        raise VideoError(source.path, f"{frames} frames of {size} pixels would have to be decoded: too many")


def frame_rate(stream: av.VideoStream) -> float:
    """Frames a second, as far as the file says it."""
    return float(stream.average_rate or stream.guessed_rate or 25)  # FFmpeg's own default for a stream without times


def describe(
    source: Source,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    index: frame_index.Index,
    seconds: np.ndarray,
    fault: str | None,
) -> str | None:
    """What is wrong with a file, or doubtful, whose frames have these times [N]; `fault` is the first damage met."""
    gap = max(float(np.diff(seconds).max(initial=0)), index.hold * float(stream.time_base))
    cut = frame_index.find_cut(container, stream, float(seconds[0]), float(seconds[-1]), gap)
    loss = describe_loss(index.packets, index.declared, len(seconds), cut, fault)
    return join_notes(loss, _describe_end(source, container, seconds, gap), streams.describe_choice(container, stream))


def join_notes(*notes: str | None) -> str | None:
    """One note of several, None of none."""
    return "; ".join(note for note in notes if note) or None


def describe_loss(
    packets: int, declared: int, decoded: int, cut: tuple[float, float] | None, fault: str | None
) -> str | None:
    """What is wrong with a file of which so many packets, frames promised and frames decoded are known, if anything.

    `cut` are the seconds at which it ends and should.
    """
    if packets < declared and decoded < declared:
        return f"truncated: {decoded} of {declared} frames decode; those were used"
    if cut is not None:
        return f"truncated: ends at {cut[0]:.1f} of {cut[1]:.1f} s; {decoded} frames decode and were used"
    if fault is not None:
        of_all = f"{decoded} of {packets} frames decode" if decoded < packets else f"what decodes, {decoded} frames"
        return f"damaged ({fault}): {of_all}; those were used"
    return None


def no_frame_decodes(path: str | os.PathLike, fault: str | None) -> VideoError:
    """The error of a video without a single frame."""
    return VideoError(path, f"no frame decodes ({fault or 'the stream is empty'})")
