"""A decoded frame -> the picture people see."""

import av
import numpy as np
from av.sidedata import sidedata

from actionclip_jax.data.video import tone_map, views


def to_upright_rgb(frame: av.VideoFrame, short_side: int | None) -> np.ndarray:
    """[H, W, 3] uint8 of SDR, turned and mirrored by multiples of 90 degrees as the display matrix says.

    Larger frames are shrunk to `short_side`. Raises ValueError.
    """
    image = _to_rgb(frame, short_side)
    matrix = read_display_matrix(frame)
    if matrix is None:
        return image
    a, b, _, c, d = matrix[:5]
    if is_turned(matrix):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def is_turned(matrix: np.ndarray | None) -> bool:
    """Whether a display matrix [9] exchanges the sides of a picture."""
    if matrix is None:
        return False
    a, b, _, c, d = np.abs(matrix[:5].astype(np.int64))  # a stored point (x, y) is shown at (a x + c y, b x + d y)
    return bool(b + c > a + d)


def _to_rgb(frame: av.VideoFrame, short_side: int | None) -> np.ndarray:
    """[H, W, 3] uint8 of SDR, as it is stored. Raises ValueError for colours that FFmpeg does not convert."""
    height, width, filtered = None, None, None  # as they are
    if short_side and min(frame.height, frame.width) > short_side:
        height, width = views.short_side_shape(frame.height, frame.width, short_side)
        filtered = "BICUBIC"
    is_hdr = frame.color_trc in (tone_map.PQ, tone_map.HLG)
    try:
        pixels = "rgb48le" if is_hdr else "rgb24"
        image = frame.reformat(width, height, pixels, interpolation=filtered, threads=1).to_ndarray()
    except av.error.FFmpegError as error:
        told = f"{error.strerror}: pixels {frame.format.name}, colour matrix {int(frame.colorspace)} of ITU-T H.273"
        raise ValueError(f"its colours cannot be converted ({told})") from error
    return tone_map.to_sdr(image, frame.color_trc, frame.color_primaries) if is_hdr else image


def read_display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """[9] int32, of the file or of the frame's own EXIF. Raises ValueError where it cannot be told."""
    container = sidedata.SideDataContainer.__new__(sidedata.SideDataContainer)
    complete = True
    try:
        container.__init__(frame)  # ty: ignore[too-many-positional-arguments]  # PyAV's stub leaves it out
    except ValueError:  # PyAV 18 stops at a kind that it does not know (EXIF) but has what came before
        complete = False
    matrix = container.get(sidedata.Type.DISPLAYMATRIX)
    if matrix is None and not complete and frame.rotation:
        raise ValueError("its rotation lies behind side data that this PyAV does not know: use a newer one")
    return None if matrix is None else np.frombuffer(matrix, np.int32)
