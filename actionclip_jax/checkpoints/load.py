"""Weights of anybody's, as this project's parameters."""

import dataclasses
import logging
import os
import pathlib
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from actionclip_jax import config, paths, text
from actionclip_jax.checkpoints import errors, formats, locate, mapping, model_directory, released, sample, torch_files
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)


def read_any(
    name: str | os.PathLike,
    *,
    activation: str | None = None,
    frames: int | None = None,
    image_size: int | None = None,
    trust_code: bool = False,
) -> model_directory.Weights:
    """Weights from a model directory, a checkpoint file or directory, a hub name, or a name of `released.MODELS`.

    Args:
        name: where the weights are. The sample model must have been made.
        activation: quick_gelu or gelu, for checkpoints that do not say it.
        frames: frames of a clip, if not the number the checkpoint says (or 8 where it says none).
        image_size: resize the image positions bicubically to another input size in pixels.
        trust_code: import the temporal head of a model directory that is somebody's own code.
    """
    name = place_of(name)
    if str(name).strip() and model_directory.is_model_directory(name):
        try:
            weights = model_directory.load(name, trust_code=trust_code)
        except config.ConfigError as error:
            raise errors.CheckpointError(f"{name}: {error}") from None
        logger.info(
            f"{name}: model directory, {config.size_name(weights.model)}, temporal head {weights.model.temporal.head}"
        )
        if activation not in (None, weights.model.activation):
            raise errors.CheckpointError(
                f"{name}: is a converted model with {weights.model.activation}, not {activation}"
            )
        if frames is not None:
            weights.model = config.checked_model(dataclasses.replace(weights.model, frames=frames))
    else:
        model_directory.check_not_a_part(name)
        weights = import_weights(torch_files.read(name), activation, frames)
    return resize_image(weights, image_size) if image_size else weights


def place_of(name: str | os.PathLike) -> str | os.PathLike:
    """The name, or the directory of the sample model. Raises CheckpointError where that has not been made yet."""
    if str(name) != released.SAMPLE or paths.expand_home(name).exists():
        return name
    if not sample.is_made():
        raise errors.CheckpointError(f"{released.SAMPLE}: is not made yet: {sample.MADE_BY} makes it")
    return sample.model()


def describe(name: str | os.PathLike, activation: str | None = None, frames: int | None = None) -> config.ModelConfig:
    """What model somebody's weights are: recognised, and told, as `read_any` does it, but not converted.

    Args:
        name: where the weights are.
        activation: as `read_any` takes it, like the next.
        frames: frames of a clip.
    """
    name = place_of(name)
    if str(name).strip() and model_directory.is_model_directory(name):
        model = model_directory.load_config(name)
        logger.info(f"{name}: model directory, {config.size_name(model)}, temporal head {model.temporal.head}")
        return model
    model_directory.check_not_a_part(name)
    source = torch_files.read(name)
    model = recognise(source, activation, frames).model
    directory = find_tokenizer(source, model.text)
    try:
        text.load_tokenizer(directory, model.text)
        logger.info(f"tokenizer: {'that beside the weights' if directory else 'that of CLIP'}")
    except ValueError as error:  # what follows is true nevertheless
        logger.warning(f"note: cannot be converted yet: {error}")
    return model


def recognise(source: torch_files.Source, activation: str | None, frames: int | None) -> formats.Recognised:
    """What a checkpoint is, which is told."""
    recognised = formats.recognise(source, activation, frames)
    logger.info(f"{source.name}: {recognised.describe()}")
    for note in recognised.notes:
        logger.warning(f"note: {note}")
    if recognised.left_out:
        logger.info(f"left out (not the model): {', '.join(recognised.left_out)}")
    if recognised.unused:
        logger.info(f"kept aside (no computation uses them): {', '.join(sorted(recognised.unused))}")
    return recognised


def import_weights(source: torch_files.Source, activation: str | None, frames: int | None) -> model_directory.Weights:
    """What was read from a checkpoint, as this project's parameters."""
    recognised = recognise(source, activation, frames)
    dtypes = {name: str(array.dtype) for name, array in (recognised.tensors | recognised.unused).items()}
    here = paths.expand_home(source.name)
    provenance = {
        "source": here.resolve().name if here.exists() else source.name,  # or the name of a hub repository
        "file": source.path.name,
        "sha256": source.sha256(),
        "format": recognised.format,
        "dtypes": dtypes,
        "converted_by": f"actionclip-jax {metadata.version('actionclip-jax')}",
    }
    source.tree = {}  # so that to_params can free each tensor once it is used
    params = mapping.to_params(recognised.rows, action_clip.param_shapes(recognised.model), recognised.tensors)
    spec = recognised.model.text
    tokenizer = text.load_tokenizer(find_tokenizer(source, spec), spec)
    return model_directory.Weights(recognised.model, params, tokenizer, provenance, recognised.unused)


def find_tokenizer(source: torch_files.Source, spec: config.TextConfig) -> pathlib.Path | None:
    """The directory of the weights if it holds a tokenizer that is theirs; None if there is only CLIP's own."""
    if not locate.owns_tokenizer(source.path):
        return None
    beside = source.path.parent
    if text.has_tokenizer(beside):
        return beside
    parts = [file for file in locate.TOKENIZER_PARTS if (beside / file).is_file()]
    if parts and text.takes_clips(spec):
        logger.info(
            f"note: {', '.join(parts)} beside it is not read without {' or '.join(text.TOKENIZER_FILES)}: CLIP's own "
            "tokenizer is taken"
        )
    return None


def resize_image(weights: model_directory.Weights, size: int) -> model_directory.Weights:
    """Another input size: the grid of patch positions is resized bicubically, the class token's position stays.

    Rotary positions need no change: their patches are counted on, as Perception Encoder's authors do.
    """
    image = weights.model.image
    resized = dataclasses.replace(image, size=size, unread=0)
    model = config.checked_model(dataclasses.replace(weights.model, image=resized))
    position, first = np.asarray(weights.params["image/position"]), int(image.class_token)
    grid = jnp.asarray(position[first:]).reshape(image.grid, image.grid, image.width)
    grid = jax.image.resize(grid, (resized.grid, resized.grid, image.width), "cubic")
    position = np.concatenate([position[:first], np.asarray(grid).reshape(-1, image.width)])
    provenance = weights.provenance | {"image_size": {"source": image.size, "resized_to": size}}
    return dataclasses.replace(
        weights, model=model, params={**weights.params, "image/position": position}, provenance=provenance
    )
