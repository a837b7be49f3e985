"""Single encoded frames: JPEG (or whatever OpenCV reads), and H.264 of which every frame decodes alone."""

import fractions
import io
import pathlib
from collections.abc import Callable

import av
import cv2
import numpy as np
from PIL import Image, ImageOps

from actionclip_jax.data.video import decode, errors, limits, views

MAX_BYTES = 4 * limits.MAX_PIXELS  # of a picture's file: more than its pixels, and alpha, take uncompressed


def read_pictures(
    path: str,
    decode_frame: Callable[[int], np.ndarray],
    seconds: np.ndarray,
    choose: decode.Choose,
    transform: decode.Transform[decode.Image],
    short_side: int | None,
) -> decode.Frames[decode.Image]:
    """What `video.read_frames` does, of frames that `decode_frame(number)` makes; `seconds` [N] are the times of all.

    A larger picture is shrunk to `short_side` by averaging areas, 46 to 54 dB from PIL's bicubic on filmed video.
    """
    indices = decode.checked_choice(choose(len(seconds)), len(seconds))
    images: dict[int, decode.Image] = {}
    for number in dict.fromkeys(indices.tolist()):
        with errors.name_faults(path, f"frame {number} cannot be decoded"):
            image = decode_frame(number)
            if short_side and min(image.shape[:2]) > short_side:
                height, width = views.short_side_shape(*image.shape[:2], short_side)
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        images[number] = transform(image)
    return decode.Frames([images[number] for number in indices.tolist()], indices, seconds[indices], len(seconds), None)


def decode_picture(data: bytes) -> np.ndarray:
    """A JPEG, PNG or other picture -> [H, W, 3] uint8 RGB, upright; JPEGs bit for bit as PIL decodes them.

    Transparency is dropped. Raises ValueError.
    """
    try:
        with Image.open(io.BytesIO(data)) as header:  # reads no more than that; OpenCV would take up to 3 GB for it
            width, height = header.size
            moves = header.format != "MPO" and getattr(header, "is_animated", False)
            is_avif = header.format == "AVIF"
    except Image.DecompressionBombError:  # whose own limit is higher
        raise ValueError(f"more than {limits.MAX_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError):
        raise ValueError("not a picture") from None
    if problem := limits.describe_excess(height, width):
        raise ValueError(problem)
    if moves:
        raise ValueError("holds several pictures, expected one")
    if is_avif:  # which OpenCV does not turn upright
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error as error:  # a header that promises more pixels than OpenCV allows
        raise ValueError(error.err) from None
    if image is None:
        raise ValueError("not a picture")
    return image


def read_file(path: pathlib.Path) -> bytes:
    """The bytes of a picture. Raises OSError and ValueError."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, a device has no end
        raise ValueError("not a file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"a picture of {path.stat().st_size} bytes")
    return path.read_bytes()


class JpegEncoder:
    """Frames -> JPEG pictures of a quality of 1..100."""

    def __init__(self, quality: int) -> None:
        self.quality = quality
        self.pictures: list[bytes] = []

    def add(self, image: np.ndarray) -> None:
        """[H, W, 3] uint8 RGB."""
        flags = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        self.pictures.append(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes())

    def finish(self) -> list[bytes]:
        """All pictures."""
        return self.pictures


class IntraEncoder:
    """Frames -> H.264 packets, each of which decodes alone; `crf` is 0 (exact) to 51 (coarse)."""

    def __init__(self, crf: int) -> None:
        self.crf = crf
        self.codec: av.VideoCodecContext | None = None
        self.packets: list[bytes] = []

    def add(self, image: np.ndarray) -> None:
        """[H, W, 3] uint8 RGB, all of one size; an odd last row or column is lost."""
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2  # chroma is stored at half the size
        self.codec = self.codec or self._open(height, width)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), "rgb24")
        frame.pts = len(self.packets)
        self.packets += [bytes(packet) for packet in self.codec.encode(frame)]

    def finish(self) -> list[bytes]:
        """All packets, of at least one frame."""
        if self.codec is None:
            raise ValueError("there is no frame to encode")
        return self.packets + [bytes(packet) for packet in self.codec.encode(None)]

    def _open(self, height: int, width: int) -> av.VideoCodecContext:
        codec = av.VideoCodecContext.create("libx264", "w")
        codec.height, codec.width, codec.pix_fmt = height, width, "yuv420p"
        codec.time_base = fractions.Fraction(1, 25)
        codec.thread_count = 1  # more would change the bits from machine to machine
        # every frame a keyframe that brings its own headers; superfast is 10% larger than slower presets
        params = "keyint=1:repeat-headers=1:annexb=1:bframes=0"
        codec.options = {"preset": "superfast", "tune": "fastdecode", "crf": str(self.crf), "x264-params": params}
        return codec


class IntraDecoder:
    """Decodes the packets of an `IntraEncoder` in any order."""

    def __init__(self) -> None:
        self.codec = av.CodecContext.create("h264", "r")
        self.codec.thread_count = 1
        self.codec.options = {"err_detect": "explode", "max_pixels": str(limits.MAX_PIXELS)}

    def decode(self, packet: bytes) -> np.ndarray:
        """A packet -> [H, W, 3] uint8 RGB."""
        frames = self.codec.decode(av.Packet(packet))
        if not frames:
            frames = self.codec.decode(None)
            self.codec.flush_buffers()
        if len(frames) != 1:
            raise ValueError(f"{len(frames)} frames in a packet")
        return frames[0].reformat(format="rgb24", threads=1).to_ndarray()
