"""The smallest model there is, to be written in every format."""

import numpy as np
import tiny

from actionclip_jax import config
from actionclip_jax.checkpoints import mapping, tensor_names
from actionclip_jax.models import action_clip


def model_config(vocabulary=64):
    """The smallest towers."""
    towers = {"width": 64, "depth": 1, "heads": 1}
    image, words = config.ImageConfig(size=32, patch=16, **towers), config.TextConfig(vocabulary=vocabulary, **towers)
    return config.checked_model(config.ModelConfig(image=image, text=words, embed_width=32))


def random_params(model):
    """Parameters by path."""
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype(np.float32) for path, shape in action_clip.param_shapes(model).items()}


def openai_state():
    """A CLIP's tensors by OpenAI's names."""
    model = model_config()
    return mapping.to_tensors(tensor_names.openai_towers(model), random_params(model))


def save(directory):
    """Writes a model directory with a tokenizer; returns it."""
    tiny.save_model(directory, model_config(vocabulary=49408))
    return directory
