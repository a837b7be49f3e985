"""Videos wherever they are: files, bytes, open files, addresses, or frames in memory."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Generator, Sequence
from typing import BinaryIO

import numpy as np

from actionclip_jax.data.video import decode, download, errors, limits, pictures

CHUNK = 1 << 20  # bytes copied at once
Read = Callable[[decode.Choose, decode.Transform], decode.Frames]


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """What a video is called in results and errors, and how its frames are read: as `decode.read_frames` does."""

    name: str
    read: Read


def of_path(path: str | os.PathLike[str]) -> Video:
    """A file."""
    return Video(os.fspath(path), functools.partial(decode.read_frames, path))


def of_bytes(name: str, content: bytes | bytearray | memoryview) -> Video:
    """What a file holds."""
    return Video(name, functools.partial(_read_copied, name, lambda file: file.write(content)))


def of_file(name: str, opened: BinaryIO) -> Video:
    """A file object opened for reading bytes, from where it stands to its end."""
    return Video(name, functools.partial(_read_copied, name, functools.partial(_copy, name, opened)))


def of_url(address: str) -> Video:
    """An http or https address, fetched when it is read."""
    return Video(address, functools.partial(_read_copied, address, functools.partial(download.fetch, address)))


def of_frames(name: str, frames: Sequence[np.ndarray] | np.ndarray) -> Video:
    """T frames [H, W, 3] uint8 RGB in the order they are shown; nobody knows when, so their times are NaN."""
    times = np.full(len(frames), np.nan)

    def read(choose: decode.Choose, transform: decode.Transform) -> decode.Frames:
        return pictures.read_pictures(name, frames.__getitem__, times, choose, transform, None)

    return Video(name, read)


def of_error(error: errors.VideoError) -> Video:
    """What is known to be no video, in the place of one."""

    def read(choose: decode.Choose, transform: decode.Transform) -> decode.Frames:
        raise error

    return Video(error.path, read)


def _read_copied(
    name: str, copy: Callable[[BinaryIO], object], choose: decode.Choose, transform: decode.Transform
) -> decode.Frames:
    """Reads what `copy` writes into a file, which is there meanwhile."""
    with _temporary_file() as path:
        with errors.name_faults(name), path.open("wb") as file:
            copy(file)
        try:
            return decode.read_frames(path, choose, transform)
        except errors.VideoError as error:
            raise errors.VideoError(name, error.reason) from error


@contextlib.contextmanager
def _temporary_file() -> Generator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="actionclip-", ignore_cleanup_errors=True) as directory:
        yield pathlib.Path(directory, "video")


def _copy(name: str, opened: BinaryIO, file: BinaryIO) -> None:
    size = 0
    while content := opened.read(CHUNK):
        if not isinstance(content, bytes | bytearray | memoryview):
            raise errors.VideoError(name, f"reads as {type(content).__name__}: open it for bytes, with 'rb'")
        if (size := size + len(content)) > limits.MAX_FETCHED:
            raise errors.VideoError(name, f"goes on after {limits.MAX_FETCHED} bytes: give the path of a file")
        file.write(content)
