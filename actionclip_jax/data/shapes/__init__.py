"""The embedded sample data set: videos of moving shapes, drawn here."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.shapes.sample_set import make_sample_set as make_sample_set

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "sample_set": ["make_sample_set"],
    },
)
