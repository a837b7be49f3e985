"""`actionclip convert`: a checkpoint of anybody's into a model directory, and back."""

import collections
import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import transformers

from actionclip_jax import config, paths, text
from actionclip_jax.checkpoints import errors, formats, locate, mapping, model_directory, torch_files
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)


def read_any(
    name: str | os.PathLike,
    *,
    activation: str | None = None,
    frames: int | None = None,
    image_size: int | None = None,
) -> model_directory.Weights:
    """Weights from a model directory, a checkpoint file or directory, or a hub name.

    Args:
        name: where the weights are.
        activation: quick_gelu or gelu, for checkpoints that do not say it.
        frames: frames of a clip, if not the number the checkpoint says (or 8 where it says none).
        image_size: resize the image positions bicubically to another input size in pixels.
    """
    if str(name).strip() and model_directory.is_model_directory(name):
        try:
            weights = model_directory.load(name)
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


def import_weights(source: torch_files.Source, activation: str | None, frames: int | None) -> model_directory.Weights:
    """What was read from a PyTorch checkpoint, as this project's parameters."""
    found = formats.recognise(source, activation, frames)
    logger.info(f"{source.name}: {found.describe()}")
    for note in found.notes:
        logger.warning(f"note: {note}")
    if found.left_out:
        logger.info(f"left out (not the model): {', '.join(found.left_out)}")
    if found.unused:
        logger.info(f"kept aside (no computation uses them): {', '.join(sorted(found.unused))}")
    dtypes = {name: str(array.dtype) for name, array in (found.tensors | found.unused).items()}
    provenance = {
        "source": paths.expand_home(source.name).resolve().name if is_here(source.name) else source.name,
        "file": source.path.name,
        "sha256": source.sha256(),
        "format": found.format,
        "dtypes": dtypes,
        "converted_by": f"actionclip-jax {metadata.version('actionclip-jax')}",
    }
    source.tree = {}  # so that to_params can free each tensor once it is used
    params = mapping.to_params(found.rows, action_clip.param_shapes(found.model), found.tensors)
    beside = source.path.parent if source.path.name in locate.WEIGHT_FILES else None
    own = beside if beside and text.has_tokenizer(beside) else None
    rest = [file for file in locate.TOKENIZER_PARTS if beside and (beside / file).is_file()]
    if rest and not own:
        logger.info(
            f"note: {', '.join(rest)} beside it is not read without {' or '.join(text.TOKENIZER_FILES)}: CLIP's own "
            "tokenizer is taken"
        )
    tokenizer = text.load_tokenizer(own, found.model.text.vocabulary)
    return model_directory.Weights(found.model, params, tokenizer, provenance, found.unused)


def is_here(name: str) -> bool:
    """Whether the name is that of a file or directory, not of a hub repository."""
    return paths.expand_home(name).exists()


def resize_image(weights: model_directory.Weights, size: int) -> model_directory.Weights:
    """Another input size: the grid of patch positions is resized bicubically, the class token's position stays."""
    model = dataclasses.replace(weights.model, image=dataclasses.replace(weights.model.image, size=size))
    config.checked_model(model)
    position = np.asarray(weights.params["image/position"])
    old, new, width = weights.model.image.size // model.image.patch, size // model.image.patch, position.shape[1]
    grid = jax.image.resize(jnp.asarray(position[1:]).reshape(old, old, width), (new, new, width), "cubic")
    params = weights.params | {"image/position": np.concatenate([position[:1], np.asarray(grid).reshape(-1, width)])}
    provenance = weights.provenance | {"image_size": {"source": weights.model.image.size, "resized_to": size}}
    return dataclasses.replace(weights, model=model, params=params, provenance=provenance)


def export(
    weights: model_directory.Weights, destination: str | os.PathLike, target: str, *, towers_only: bool, overwrite: bool
) -> list[str]:
    """Writes a checkpoint in a PyTorch format; what came from that format goes back bit for bit.

    Returns:
        What had to be said: dtypes, parts left out.
    """
    path, model = paths.expand_home(destination), weights.model
    check_destination(path, target, overwrite)
    said = []
    if towers_only and model.temporal.head != "meanP":
        said.append(f"left out: the temporal head {model.temporal.head}")
        model = dataclasses.replace(model, temporal=config.TemporalConfig())
    if found := not_expressible(model, target):
        raise errors.CheckpointError("\n  ".join([f"the {target} format cannot say this model:", *found]))
    rows = export_rows(model, target)
    tensors, notes = restore_dtypes(mapping.to_tensors(rows, weights.params), weights, target)
    returns = weights.provenance.get("format") == target
    if target == "actionclip" and model.temporal.head in ("Conv_1D", "LSTM", "Transf_cls") and not returns:
        # ActionCLIP makes this table for every head, wants it on loading, and reads it in Transf alone
        table = np.zeros((model.text.context, model.embed_width), np.float32)
        tensors = {f"{formats.PLACES['actionclip'][1]}frame_position_embeddings.weight": table} | tensors
    if target == "huggingface":
        write_huggingface(path, model, tensors, weights.tokenizer)
    elif target == "actionclip":
        torch_files.write(path, {"epoch": 0, "model_state_dict": {}, "fusion_model_state_dict": {}} | nest(tensors))
    else:
        torch_files.write(path, tensors)
    return [*said, *notes]


def check_destination(path: pathlib.Path, target: str, overwrite: bool) -> None:
    """Refuses a place that cannot be written to, before any work is done."""
    if path.exists() and not overwrite:
        raise model_directory.ModelDirectoryError(f"{path}: already exists; give another name, or --overwrite")
    if target != "huggingface":
        torch_files.check_suffix(path, nested=target == "actionclip")


def not_expressible(model: config.ModelConfig, target: str) -> list[str]:
    """What a reader of the format would take for something else."""
    temporal, found = model.temporal, []
    if target != "actionclip":
        if temporal.head != "meanP":
            found.append(
                f"it has no place for the temporal head {temporal.head}: use --to actionclip, or --towers-only to "
                "leave the temporal head out"
            )
        found += [f"it has no place for {name}" for name in ("shift", "joint") if getattr(model, name)]
    if target == "huggingface":
        return found
    if model.activation != "quick_gelu":
        found.append(f"it means the activation quick_gelu, the model has {model.activation}")
    if model.norm_eps != 1e-5:
        found.append(f"it means LayerNorm eps 1e-5, the model has {model.norm_eps:g}")
    for name, tower in (("image", model.image), ("text", model.text)):
        if tower.heads * 64 != tower.width:
            found.append(f"it means heads of 64 channels, the {name} tower has {tower.heads} in {tower.width}")
    if (model.image.mean, model.image.std) != (config.CLIP_MEAN, config.CLIP_STD):
        found.append(
            f"it means CLIP's normalisation of pixels, the model has mean {model.image.mean} and deviation "
            f"{model.image.std}"
        )
    return found + (head_not_expressible(model) if target == "actionclip" else [])


def head_not_expressible(model: config.ModelConfig) -> list[str]:
    """Where a temporal head is not the one that ActionCLIP builds, whose sizes are fixed but for the widths."""
    temporal, found = model.temporal, []
    if temporal.head == "Conv_1D" and not temporal.legacy_layout:
        found.append("it means Conv_1D's legacy layout over channels, the model convolves over time")
    wanted = {
        "Transf": {"depth": 6, "heads": model.text.width // 64, "positions": model.text.context, "norm_eps": 1e-12},
        "Transf_cls": {"depth": 6, "heads": 8, "positions": model.frames},
    }.get(temporal.head, {})
    has = dataclasses.asdict(temporal)
    found += [
        f"it means a {temporal.head} head with {name} {value}, the model has {has[name]}"
        for name, value in wanted.items()
        if has[name] != value
    ]
    return found


def export_rows(model: config.ModelConfig, target: str) -> list[mapping.Row]:
    """The names of a format for a model."""
    if target == "huggingface":
        return mapping.huggingface_towers(model)
    if target == "openai":
        return mapping.openai_towers(model)
    towers, head = formats.PLACES["actionclip"]
    return mapping.openai_towers(model, towers) + mapping.temporal_head(model, head)


def restore_dtypes(
    tensors: dict[str, np.ndarray], weights: model_directory.Weights, target: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The dtypes and the unused tensors of the source, if it had this format and no value would change."""
    said: list[str] = []
    if weights.provenance.get("format") != target or "image_size" in weights.provenance:
        if target == "openai":  # the scalars tell a reader whose format it is
            image, words = weights.model.image, weights.model.text
            scalars = {"input_resolution": image.size, "context_length": words.context, "vocab_size": words.vocabulary}
            tensors = tensors | {name: np.array(value, np.int64) for name, value in scalars.items()}
        return tensors, ["all weights are float32"]
    dtypes = weights.provenance.get("dtypes", {})
    rounded = []
    for name, array in tensors.items():
        cast = array.astype(torch_files.dtype(dtypes.get(name, "float32")))
        if np.array_equal(cast.astype(np.float32), array):
            tensors[name] = cast
        else:
            rounded.append(name)
    if rounded:
        said.append(f"{len(rounded)} tensors stay float32: their values no longer fit the source's dtypes")
    counts = collections.Counter(str(array.dtype) for array in tensors.values())
    said.append("tensors: " + ", ".join(f"{count} {dtype}" for dtype, count in counts.items()))
    return tensors | weights.unused, said


def nest(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """`section/name` -> {section: {name}}."""
    tree: dict[str, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        section, rest = name.split("/", 1)
        tree.setdefault(section, {})[rest] = array
    return tree


def write_huggingface(
    directory: pathlib.Path,
    model: config.ModelConfig,
    tensors: Mapping[str, np.ndarray],
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    """A directory that transformers' CLIPModel.from_pretrained and CLIPProcessor.from_pretrained read."""
    torch_files.write(directory / "model.safetensors", tensors)
    huggingface_config(model).save_pretrained(directory)
    image, size = model.image, model.image.size
    pil_processor()(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(image.mean),
        image_std=list(image.std),
    ).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def pil_processor() -> type:
    """transformers' image processor of CLIP that computes with Pillow, and so needs no torchvision."""
    newer = hasattr(transformers, "CLIPImageProcessorPil")
    return transformers.CLIPImageProcessorPil if newer else transformers.CLIPImageProcessor


def huggingface_config(model: config.ModelConfig) -> transformers.CLIPConfig:
    """The towers' configuration in transformers' terms."""

    def shared(tower: config.ImageConfig | config.TextConfig) -> dict[str, Any]:
        return {
            "hidden_size": tower.width,
            "intermediate_size": 4 * tower.width,
            "num_hidden_layers": tower.depth,
            "num_attention_heads": tower.heads,
            "projection_dim": model.embed_width,
            "hidden_act": model.activation,
            "layer_norm_eps": model.norm_eps,
        }

    image, words = model.image, model.text
    return transformers.CLIPConfig(
        vision_config=shared(image) | {"image_size": image.size, "patch_size": image.patch},
        text_config=shared(words)
        | {
            "vocab_size": words.vocabulary,
            "max_position_embeddings": words.context,
            "bos_token_id": words.vocabulary - 2,
            "eos_token_id": words.vocabulary - 1,
            "pad_token_id": words.vocabulary - 1,
        },
        projection_dim=model.embed_width,
    )
