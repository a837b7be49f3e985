"""Label files of all kinds people have: the names of the classes, their numbers, other words for them."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.data.label_files.columns import KNOWN as KNOWN
    from actionclip_jax.data.label_files.columns import count_up as count_up
    from actionclip_jax.data.label_files.reading import Classes as Classes
    from actionclip_jax.data.label_files.reading import read as read

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"columns": ["KNOWN", "count_up"], "reading": ["Classes", "read"]}
)
