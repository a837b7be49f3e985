"""Asking a model: what happens in a clip, and when in a long video."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.inference.predict import Prediction as Prediction
    from actionclip_jax.inference.predict import Predictor as Predictor
    from actionclip_jax.inference.timeline import Timeline as Timeline

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "predict": ["Prediction", "Predictor"],
        "timeline": ["Timeline"],
    },
)
