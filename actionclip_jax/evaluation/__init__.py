"""Measuring a trained model by the protocols of the field."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.evaluation.evaluate import Settings as Settings

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evaluate": ["Settings"],
    },
)
