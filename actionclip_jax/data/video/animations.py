"""Pictures that FFmpeg does not show whole, by way of Pillow: animated WebP, and AVIF in tiles."""

import fractions
import io
from collections.abc import Callable

import av
from PIL import Image, ImageOps, ImageSequence

MAX_PIXELS = 1 << 29  # of all frames together: 1.5 GB if they cannot be compressed


def is_animated_webp(container: av.container.InputContainer, file: str) -> bool:
    """Whether it is one: FFmpeg 8 does not decode them."""
    if not container.format.name.startswith("webp"):
        return False
    with Image.open(file) as image:
        return getattr(image, "is_animated", False)


def transcode(file: str, describe_excess: Callable[[int, int], str | None]) -> av.container.InputContainer:
    """The same frames and times, upright, as a lossless video in memory. Transparency is dropped.

    `describe_excess(height, width)` says what is wrong with a size. Raises ValueError.
    """
    try:
        image = Image.open(file)
    except Image.UnidentifiedImageError:
        raise ValueError("a picture in tiles of a format that is not put together here: convert it") from None
    with image:
        if problem := describe_excess(image.height, image.width):
            raise ValueError(f"frames of {problem}")
        count = getattr(image, "n_frames", 1)
        if count * image.height * image.width > MAX_PIXELS:
            raise ValueError(f"{count} frames of {image.width}x{image.height} pixels: too many of such a format")
        data = io.BytesIO()
        with av.open(data, "w", format="matroska") as container:
            _encode(image, container)
    data.seek(0)
    return av.open(data, "r")


def _encode(image: Image.Image, container: av.container.OutputContainer) -> None:
    stream = container.add_stream("ffv1", rate=25)
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    milliseconds = 0
    for picture in ImageSequence.Iterator(image):
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        frame = av.VideoFrame.from_image(upright)
        if milliseconds == 0:
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "bgr0"
        frame.pts, frame.time_base = milliseconds, fractions.Fraction(1, 1000)
        milliseconds += max(1, round(picture.info.get("duration", 0)))
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
