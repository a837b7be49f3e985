"""ActionCLIP in JAX: video action recognition as video-text matching."""

import os
import typing
from typing import Any

if typing.TYPE_CHECKING:
    from actionclip_jax.inference import predict


def load(path: str | os.PathLike, **options: Any) -> "predict.Predictor":
    """A model ready to predict, from a model directory, a PyTorch checkpoint or a hub name.

    `options` are those of `actionclip_jax.inference.predict.load`.
    """
    from actionclip_jax.inference import (
        predict,  # here, so that `import actionclip_jax` and the command's --help stay quick
    )

    return predict.load(path, **options)
