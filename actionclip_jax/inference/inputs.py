"""What people have in hand -> videos: names of files, bytes, open files, addresses, or frames."""

import glob
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from PIL import Image

from actionclip_jax import paths
from actionclip_jax.data import video
from actionclip_jax.data.video import find, given
from actionclip_jax.inference import pixels

logger = logging.getLogger(__name__)

EXPECTED = (
    "expected a file, directory or glob, bytes, a file opened with 'rb', uint8 frames [T, H, W, 3], or a list of these"
)
ADDRESSES = ("http", "https")


def open_any(videos: Any, allow_urls: bool) -> tuple[list[given.Video], bool]:
    """The videos that somebody gives, and whether it is one and no list.

    A directory, a glob and a list are several, however many they are. Frames are one video: an array [T, H, W, 3], or
    a list of pictures [H, W, 3].

    Raises:
        ValueError: what is no video by its type or shape; it says what was expected.
        video.VideoError: a directory or glob without a video.
    """
    if isinstance(videos, str | os.PathLike) and is_several(videos):
        return find_all(videos), False
    items = as_list(videos)
    if items is None:
        return [open_one(videos, allow_urls, "")], True
    if is_picture_list(items):
        return [open_one(items, allow_urls, "")], True
    return open_each(items, allow_urls), False


def open_each(videos: Iterable[Any], allow_urls: bool) -> list[given.Video]:
    """Several videos, each as `open_any` takes one; directories and globs among them are all of their videos.

    Raises:
        ValueError: the first that is none; it says which.
    """
    items = as_list(videos)
    if items is None:
        raise ValueError(f"videos are {pixels.describe(videos)}: expected a list of them")
    opened: list[given.Video] = []
    for number, item in enumerate(items, 1):
        if isinstance(item, str | os.PathLike) and is_several(item):
            try:
                opened += find_all(item)
            except video.VideoError as error:
                opened.append(given.of_error(error))
        else:
            opened.append(open_one(item, allow_urls, f"video {number}"))
    return opened


def open_one(item: Any, allow_urls: bool, place: str) -> given.Video:
    """One video; `place` is what it is called where it has no name. Raises ValueError."""
    if isinstance(item, str | os.PathLike):
        return open_named(item, allow_urls, place)
    if isinstance(item, bytes | bytearray | memoryview):
        return given.of_bytes(called(place, f"{len(item)} bytes"), item)
    if hasattr(item, "read") and not hasattr(item, "__array__"):
        if isinstance(item, io.TextIOBase):
            raise ValueError(f"{place or 'the video'} is a file opened as text: open it with 'rb'")
        name = getattr(item, "name", None)
        return given.of_file(name if isinstance(name, str) else called(place, type(item).__name__), item)
    if isinstance(item, Image.Image):
        raise ValueError(f"{place or 'the video'} is one picture: put it into a list for a video of one frame")
    if not isinstance(item, list | tuple) and not hasattr(item, "__array__"):
        raise ValueError(f"{place or 'the video'} is {pixels.describe(item)}: {EXPECTED}")
    frames = pixels.checked_frames(item, place or "the video")
    height, width = frames[0].shape[:2]
    return given.of_frames(called(place, f"{len(frames)} frames of {width}x{height}"), frames)


def open_named(item: str | os.PathLike[str], allow_urls: bool, place: str) -> given.Video:
    """A file, or an address where those are allowed."""
    name = os.fspath(item)
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{place or 'the video'} is {name!r}: {EXPECTED}")
    if paths.URL.match(name) is None:
        return given.of_path(paths.expand_home(name))
    if name.partition(":")[0].lower() not in ADDRESSES:
        raise ValueError(paths.problem(place or "the video", name))
    if not allow_urls:
        raise ValueError(f"{name} is an address: allow_urls=True fetches it, or give a file")
    return given.of_url(name)


def called(place: str, what: str) -> str:
    """The name of a video that has none."""
    return f"<{place}: {what}>" if place else f"<{what}>"


def is_several(name: str | os.PathLike[str]) -> bool:
    """Whether it is a directory, or a glob that is no file."""
    text, path = os.fspath(name), paths.expand_home(name)
    if not text.strip() or paths.URL.match(text):  # pathlib takes nothing for the current directory
        return False
    return path.is_dir() or (glob.has_magic(text) and not os.path.lexists(path))


def find_all(name: str | os.PathLike[str]) -> list[given.Video]:
    """The videos of a directory or glob. Raises VideoError where there are none."""
    found, passed_over = find.find_videos([name])
    if passed_over:
        logger.info(find.describe_passed_over(passed_over, len(found)))
    if len(found) == 1 and isinstance(found[0], video.VideoError):
        raise found[0]
    return [given.of_error(one) if isinstance(one, video.VideoError) else given.of_path(one) for one in found]


def as_list(videos: Any) -> list[Any] | None:
    """The items of a list, an iterator, or an array or column of names; None for what is one thing."""
    if isinstance(videos, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or hasattr(videos, "read"):
        return None
    if isinstance(videos, Mapping | Set):  # what order would its results have?
        raise ValueError(f"videos are {pixels.describe(videos)}: {EXPECTED}")
    if hasattr(videos, "__array__"):
        array = pixels.as_array(videos, "videos")
        return array.tolist() if array.ndim == 1 and array.dtype.kind in "OUT" else None
    return list(videos) if isinstance(videos, Iterable) else None


def is_picture_list(items: Sequence[Any]) -> bool:
    """Whether a list is the frames of one video. Raises ValueError where only some of it are pictures."""
    pictures = [pixels.is_picture(item) for item in items]
    if any(pictures) and not all(pictures):
        first, other = pictures.index(True), pictures.index(False)
        raise ValueError(
            f"item {first + 1} of the list is a picture and item {other + 1} is {pixels.describe(items[other])}: "
            "expected the pictures of one video, or videos"
        )
    return bool(pictures) and all(pictures)
