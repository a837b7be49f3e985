"""A training run: its step, its loop, and what keeps it alive."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.training.loop import Outcome as Outcome
    from actionclip_jax.training.loop import TrainingError as TrainingError
    from actionclip_jax.training.loop import train as train

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"loop": ["Outcome", "TrainingError", "train"]}
)
