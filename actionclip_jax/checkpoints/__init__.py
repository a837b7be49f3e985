"""Weights in and out: model directories, and the checkpoints of PyTorch and of the hub."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.checkpoints.errors import CheckpointError as CheckpointError
    from actionclip_jax.checkpoints.model_directory import ModelDirectoryError as ModelDirectoryError
    from actionclip_jax.checkpoints.model_directory import Weights as Weights
    from actionclip_jax.checkpoints.model_directory import load as load
    from actionclip_jax.checkpoints.model_directory import save as save

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "model_directory": ["ModelDirectoryError", "Weights", "load", "save"],
        "errors": ["CheckpointError"],
    },
)
