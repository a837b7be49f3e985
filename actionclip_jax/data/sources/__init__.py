"""Annotation files and folders of all kinds -> the table of clips."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.sources.opening import KINDS as KINDS
    from actionclip_jax.data.sources.opening import USED_BY as USED_BY
    from actionclip_jax.data.sources.opening import open_source as open_source
    from actionclip_jax.data.sources.problems import SourceError as SourceError

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"opening": ["KINDS", "USED_BY", "open_source"], "problems": ["SourceError"]}
)
