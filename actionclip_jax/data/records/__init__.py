"""Prepared clips: decoded once, kept in shards that are read at random."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.records.reader import open_records as open_records
    from actionclip_jax.data.records.writer import prepare as prepare

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "reader": ["open_records"],
        "writer": ["prepare"],
    },
)
