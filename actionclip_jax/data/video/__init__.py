"""Frames out of video files."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.video.decode import SUFFIXES as SUFFIXES
    from actionclip_jax.data.video.decode import Frames as Frames
    from actionclip_jax.data.video.decode import Source as Source
    from actionclip_jax.data.video.decode import VideoError as VideoError
    from actionclip_jax.data.video.decode import name_faults as name_faults
    from actionclip_jax.data.video.decode import open_stream as open_stream
    from actionclip_jax.data.video.decode import read_frames as read_frames

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "decode": ["SUFFIXES", "Frames", "Source", "VideoError", "name_faults", "open_stream", "read_frames"],
    },
)
