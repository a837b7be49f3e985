"""A copy of a video with something drawn into its frames: same size, times and sound. One frame is held at a time."""

import contextlib
import dataclasses
import fractions
import math
import os
import pathlib
import typing
from collections.abc import Callable, Generator

import av
import av.codec
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from actionclip_jax import files
from actionclip_jax.data.video import decode, errors, frame_index, limits, notes, opening, sound, times, upright

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# the first that this FFmpeg has; H.264 of a quality at which one sees no difference
ENCODERS = {"libx264": {"crf": "18", "preset": "veryfast"}, "libopenh264": {}, "mpeg4": {"qscale": "2"}}
BT709 = 1  # matrix, primaries and transfer characteristic (ITU-T H.273)
COARSE = 1 << 16  # MPEG-4 counts times in fewer parts of a second
Draw = Callable[[np.ndarray, float], np.ndarray]  # [H, W, 3] uint8 RGB, seconds -> the same with something drawn


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A frame with what its copy needs to know."""

    image: np.ndarray  # [H, W, 3] uint8 RGB, upright
    seconds: float  # on a player's clock, whose 0 is ...
    start: float  # ... at these seconds of the file's streams
    stream: av.VideoStream
    aspect: fractions.Fraction | None  # width of a pixel over its height, as shown


def rewrite(path: str | os.PathLike, destination: str | os.PathLike, draw: Draw) -> str | None:
    """Writes a copy in which `draw` has changed each frame; it appears under its name only when whole.

    Frames are upright and SDR. Their times are kept, on a clock that starts where the file does. Sound is copied.

    Returns:
        What is not as it was, for people; None for nothing.

    Raises:
        VideoError: the video cannot be read.
        ValueError: the destination is no such file, or the video itself.
        OSError: it cannot be written.
    """
    file = pathlib.Path(destination)
    form = check_destination(path, file)
    options = {"movflags": "faststart"} if form != "matroska" else {}
    with files.written_whole(file) as partial, contextlib.closing(read(path)) as decoded, name_writer(file):
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(av.open(str(partial.absolute()), "w", format=form, options=options))
            picture, heard, start = Picture(output), None, 0.0
            for frame in decoded:
                picture.add(frame, draw(frame.image, frame.seconds))
                heard = heard or stack.enter_context(sound.Sound(path, output))  # the second stream
                heard.copy(frame.seconds, start := frame.start)
            assert heard is not None, "there is a frame, or an error"
            picture.finish()
            heard.copy(math.inf, start)
        return notes.join(picture.note, heard.note)


def read(path: str | os.PathLike) -> Generator[Decoded]:
    """Every frame that decodes, one by one. Raises VideoError, also where there is none."""
    with errors.name_faults(path), opening.open_stream(path) as (container, video):
        faults: list[str] = []
        packets = frame_index.read_packets(container, video)
        start, aspect = None, video.sample_aspect_ratio or None
        frames = decode.decode_past_damage(packets, video, faults)
        for seconds, frame in times.tell_times(frames, container, video):
            if start is None:
                first = 0.0 if frame.pts is None else float(frame.pts * times.time_base(video))
                start = times.find_start(container, first)
                if aspect and upright.is_turned(upright.read_display_matrix(frame)):
                    aspect = 1 / aspect
            limits.check_size(path, frame)
            yield Decoded(upright.to_upright_rgb(frame, None), seconds, start, video, aspect)
        if start is None:
            raise errors.no_frame_decodes(path, faults[0] if faults else None)


@contextlib.contextmanager
def name_writer(file: pathlib.Path) -> Generator[None]:
    """Errors of FFmpeg within become OSErrors of the file that is written."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def check_destination(path: str | os.PathLike, destination: pathlib.Path) -> str:
    """The format of a file of that name. Raises ValueError."""
    if destination.suffix.lower() not in FORMATS:
        raise ValueError(f"{destination}: expected a name ending in {', '.join(FORMATS)}")
    if destination.exists() and pathlib.Path(path).exists() and destination.samefile(path):
        raise ValueError(f"{destination}: is the video itself: give another name")
    return FORMATS[destination.suffix.lower()]


class Picture:
    """The frames of one output."""

    def __init__(self, output: av.container.OutputContainer) -> None:
        self.note: str | None = None
        self._output = output
        found = next((name for name in ENCODERS if name in av.codec.codecs_available), None)
        if found is None:
            raise ValueError(f"this FFmpeg encodes none of {', '.join(ENCODERS)}")
        self._encoder = found
        self._base = fractions.Fraction(1, 1000)  # seconds of a unit of time, told by the first frame
        self._stream: av.VideoStream | None = None
        self._latest = -1

    def add(self, frame: Decoded, image: np.ndarray) -> None:
        """Writes a frame as the image [H, W, 3] uint8 that was made of it."""
        stream = self._stream = self._stream or self._begin(frame, image)
        height, width = image.shape[0] + image.shape[0] % 2, image.shape[1] + image.shape[1] % 2
        if (height, width) != image.shape[:2]:  # H.264 stores one chroma for two pixels
            image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
        if (height, width) != (stream.height, stream.width):
            self.note = self.note or f"frames of {width}x{height} pixels became as large as the first"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(
            stream.width,
            stream.height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        self._latest = max(self._latest + 1, round(frame.seconds / self._base))
        picture.pts, picture.time_base = self._latest, self._base
        self._output.mux(stream.encode(picture))

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        if self._stream is not None:
            self._output.mux(self._stream.encode(None))

    def _begin(self, frame: Decoded, image: np.ndarray) -> av.VideoStream:
        """The stream for frames like the first."""
        name, source = self._encoder, frame.stream
        self._base = times.time_base(source)
        if name == "mpeg4" and self._base.denominator >= COARSE:
            self._base = fractions.Fraction(1, 60000)
        rate = source.average_rate or source.guessed_rate or 25
        stream = typing.cast(av.VideoStream, self._output.add_stream(name, rate=rate, options=dict(ENCODERS[name])))
        height, width = image.shape[:2]
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        codec = stream.codec_context
        assert codec is not None, "it is to encode"
        codec.time_base = stream.time_base = self._base
        codec.color_range, codec.colorspace = ColorRange.MPEG, BT709
        codec.color_primaries = codec.color_trc = BT709
        if frame.aspect:
            codec.sample_aspect_ratio = frame.aspect
        if (height % 2, width % 2) != (0, 0):
            self.note = f"{width}x{height} pixels became {stream.width}x{stream.height}: H.264 has even sizes alone"
        if name != "libx264":
            self.note = notes.join(self.note, f"this FFmpeg has no libx264: encoded by {name}")
        return stream
