"""Frames out of video files."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.video.decode import Choose as Choose
    from actionclip_jax.data.video.decode import Frames as Frames
    from actionclip_jax.data.video.decode import Transform as Transform
    from actionclip_jax.data.video.decode import read_frames as read_frames
    from actionclip_jax.data.video.errors import VideoError as VideoError
    from actionclip_jax.data.video.errors import name_faults as name_faults
    from actionclip_jax.data.video.formats import SUFFIXES as SUFFIXES
    from actionclip_jax.data.video.opening import open_stream as open_stream
    from actionclip_jax.data.video.parts import Source as Source

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "decode": ["Choose", "Frames", "Transform", "read_frames"],
        "errors": ["VideoError", "name_faults"],
        "formats": ["SUFFIXES"],
        "opening": ["open_stream"],
        "parts": ["Source"],
    },
)
