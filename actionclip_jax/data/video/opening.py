"""Opens a file and finds the video in it."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Generator

import av

from actionclip_jax.data.video import animations, errors, formats, limits, stream_choice

JPEG = b"\xff\xd8"  # how one begins, or a series of them; FFmpeg finds them in documents and archives too
OPTIONS = {
    "format_whitelist": formats.FORMATS,
    "protocol_whitelist": "file",
    "pattern_type": "none",  # image2 would read 1%d.jpg as a series of files
    "max_pixels": str(limits.MAX_PIXELS),
}


@contextlib.contextmanager
def open_stream(path: str | os.PathLike) -> Generator[tuple[av.container.InputContainer, av.VideoStream]]:
    """An open file and the video in it. Raises VideoError where there is none."""
    file = _find_file(path)
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(_open(path, file))
        if container.format.name == "mjpeg" and not _begins_with(file, JPEG):
            raise errors.VideoError(path, "cannot be opened as a video (it holds JPEGs, but does not begin with one)")
        stream = find_stream(path, container)
        if stream is None or animations.is_animated_webp(container, file):
            container = stack.enter_context(animations.transcode(file, limits.describe_excess))
            stream = container.streams.video[0]
        set_up(path, stream)
        yield container, stream


def find_stream(path: str | os.PathLike, container: av.container.InputContainer) -> av.VideoStream | None:
    """The video in a container; None for a picture in tiles. Raises VideoError where there is none."""
    if not any(not stream.disposition & stream_choice.COVER for stream in container.streams.video):
        raise errors.VideoError(path, "has no video stream")
    return stream_choice.choose(container)


def set_up(path: str | os.PathLike, stream: av.VideoStream) -> None:
    """Makes a stream ready to decode with one thread. Raises VideoError for one that is not decoded here."""
    if stream.codec_context is None:
        raise errors.VideoError(path, "this build of FFmpeg has no decoder for its video codec")
    if stream_choice.has_private_colors(stream):
        raise errors.VideoError(path, "its colours are Dolby Vision's own (profile 5), which are not converted here")
    limits.check_size(path, stream)
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(limits.MAX_PIXELS)}  # the size may grow from frame to frame


def open_container(file: str, options: dict[str, str]) -> av.container.InputContainer:
    """A file with titles in any encoding, which PyAV 18 refuses unless told otherwise; later ones cannot be told."""
    if int(av.__version__.partition(".")[0]) < 19:
        return av.open(file, "r", options=options, metadata_errors="replace")
    return av.open(file, "r", options=options)


def _open(path: str | os.PathLike, file: str) -> av.container.InputContainer:
    try:
        return open_container(file, OPTIONS)
    except av.error.FFmpegError as error:
        reason = "not a format that is read here" if error.errno == errno.EINVAL else error.strerror
        raise errors.VideoError(path, f"cannot be opened as a video ({reason})") from error
    except OSError as error:  # no permission, a disk that fails, a name too long
        raise errors.VideoError(path, errors.reason_of(error)) from error


def _begins_with(file: str, mark: bytes) -> bool:
    with pathlib.Path(file).open("rb") as opened:
        return opened.read(len(mark)) == mark


def _find_file(path: str | os.PathLike) -> str:
    file = pathlib.Path(path).absolute()  # "part: 1.mp4" alone would be a file of the protocol "part"
    if not file.exists():
        raise errors.VideoError(path, "no such file")
    if file.is_dir():
        raise errors.VideoError(path, "is a directory")
    if not file.is_file():
        raise errors.VideoError(path, "not a file")  # a pipe would be waited for, a device has no end
    if file.stat().st_size == 0:
        raise errors.VideoError(path, "the file is empty")
    return str(file)
