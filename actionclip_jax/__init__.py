"""ActionCLIP in JAX: video action recognition as video-text matching."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.inference.predict import Predictor as Predictor
    from actionclip_jax.inference.predict import load as load

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"inference.predict": ["Predictor", "load"]})
