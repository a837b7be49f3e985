"""What may be asked of the machine by a file whose header can say anything: beyond it the file is refused."""

import os

import av

from actionclip_jax.data.video import errors

MAX_PIXELS = 8192 * 4320  # of a frame: the largest 8K format; a decoder holds up to 16 at 1.5 bytes a pixel
MAX_RATIO = 100  # of the sides: a line of 65,535 pixels would become gigabytes when its short side is made 224
MAX_FRAMES = 1 << 22  # of a video: 38 hours at 30 a second, 600 MB while it is indexed
MAX_FETCHED = 1 << 31  # bytes from an address or an open file, which are copied: two hours of 1080p
WAIT_SECONDS = 30  # for a server to connect, or to send anything
FETCH_SECONDS = 900  # for all of an address
MAX_DECODED = 1 << 41  # pixels decoded to reach the frames asked for: ten hours of 1080p at 30 a second, all of it


def check_size(path: str | os.PathLike, frame: av.VideoStream | av.VideoFrame) -> None:
    """Raises VideoError for frames that are too large to be read."""
    if problem := describe_excess(frame.height, frame.width):
        raise errors.VideoError(path, f"has frames of {problem}")


def describe_excess(height: int, width: int) -> str | None:
    """What is wrong with a picture of this size, if anything."""
    if height * width > MAX_PIXELS or max(height, width) > MAX_RATIO * max(1, min(height, width)):
        return f"{width}x{height} pixels: at most {MAX_PIXELS} of them, and sides of at most 1:{MAX_RATIO}, are read"
    return None


def check_frames(path: str | os.PathLike, frames: int) -> None:
    """Raises VideoError for a video of too many frames to be indexed."""
    if frames > MAX_FRAMES:
        raise errors.VideoError(path, f"has more than {MAX_FRAMES} frames")


def check_work(path: str | os.PathLike, stream: av.VideoStream, frames: int) -> None:
    """Raises VideoError where so many frames are too many to decode."""
    if frames * stream.height * stream.width > MAX_DECODED:
        size = f"{stream.width}x{stream.height}"
        raise errors.VideoError(path, f"{frames} frames of {size} pixels would have to be decoded: too many")
