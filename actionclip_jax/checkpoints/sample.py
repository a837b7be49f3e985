"""Where the sample model is: the demo's model, kept in the cache directory of whoever uses it."""

import pathlib

from actionclip_jax import config, paths
from actionclip_jax.checkpoints import digests, model_directory
from actionclip_jax.config import config_file
from actionclip_jax.data.shapes import sample_set

MADE_BY = "`actionclip models sample --make`"


def recipe() -> str:
    """The file of the configuration that it is trained by."""
    return str(config_file.shipped()["sample"])


def directory() -> pathlib.Path:
    """Of the model that the recipe makes, and of what is needed meanwhile; another recipe has another directory."""
    made_from = {
        "run": config.to_dict(config_file.load(recipe())),
        "videos": config.to_dict(config.SampleSetConfig()),
        "version": sample_set.VERSION,
    }
    return paths.cache_directory() / "sample" / digests.digest_json(made_from)[:12]


def model() -> pathlib.Path:
    """The model directory, whether it is made yet or not."""
    return directory() / "model"


def is_made() -> bool:
    """Whether it is there."""
    return model_directory.is_model_directory(model())
