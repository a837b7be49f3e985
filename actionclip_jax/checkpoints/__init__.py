"""Weights in and out: model directories, and the checkpoints of PyTorch and of the hub."""

import typing

import lazy_loader

if typing.TYPE_CHECKING:
    from actionclip_jax.checkpoints.digests import digest as digest
    from actionclip_jax.checkpoints.errors import CheckpointError as CheckpointError
    from actionclip_jax.checkpoints.errors import ModelDirectoryError as ModelDirectoryError
    from actionclip_jax.checkpoints.load import read_any as read_any
    from actionclip_jax.checkpoints.model_directory import Weights as Weights

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "digests": ["digest"],
        "errors": ["CheckpointError", "ModelDirectoryError"],
        "load": ["read_any"],
        "model_directory": ["Weights"],
    },
)
