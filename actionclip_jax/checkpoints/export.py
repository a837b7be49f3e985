"""A model written as a checkpoint in another program's format."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import transformers

from actionclip_jax import config, paths
from actionclip_jax.checkpoints import (
    big_vision,
    errors,
    formats,
    huggingface,
    mapping,
    model_directory,
    naming,
    numpy_files,
    open_clip_export,
    perception_encoder,
    pixels,
    settings,
    tensor_names,
    torch_files,
)


def export(
    weights: model_directory.Weights, destination: str | os.PathLike, target: str, *, towers_only: bool, overwrite: bool
) -> list[str]:
    """Writes a checkpoint in another program's format; what came from that format goes back bit for bit.

    Returns:
        Notes for people: dtypes, parts left out.
    """
    path, model = paths.expand_home(destination), weights.model
    check_destination(path, target, overwrite)
    notes = []
    if towers_only and model.temporal.head != "meanP":
        notes.append(f"left out: the temporal head {model.temporal.head}")
        model = dataclasses.replace(model, temporal=config.TemporalConfig())
    if problems := not_expressible(model, target):
        raise errors.CheckpointError("\n  ".join([f"the {target} format cannot say this model:", *problems]))
    rows = export_rows(model, target, weights.provenance)
    tensors, dtype_notes = restore_dtypes(mapping.to_tensors(rows, weights.params), weights, target)
    returns = weights.provenance.get("format") == target
    if target == "actionclip" and model.temporal.head in ("Conv_1D", "LSTM", "Transf_cls") and not returns:
        # ActionCLIP makes this table for every head, wants it on loading, and reads it in Transf alone
        table = np.zeros((model.text.context, model.embed_width), np.float32)
        tensors = {f"{formats.PLACES['actionclip'][1]}frame_position_embeddings.weight": table} | tensors
    if target == "huggingface":
        write_huggingface(path, model, tensors, weights.tokenizer)
    elif target == "open_clip":
        open_clip_export.write(path, model, tensors, weights.tokenizer)
    elif target == "big_vision":
        numpy_files.write(path, tensors)
    elif target == "actionclip":
        torch_files.write(path, {"epoch": 0, "model_state_dict": {}, "fusion_model_state_dict": {}} | nest(tensors))
    else:
        torch_files.write(path, tensors)
    return [*notes, *dtype_notes]


def check_destination(path: pathlib.Path, target: str, overwrite: bool) -> None:
    """Refuses a place that cannot be written to, before any work is done."""
    if path.exists() and not overwrite:
        raise errors.ModelDirectoryError(f"{path}: already exists; give another name, or --overwrite")
    if target == "big_vision":
        numpy_files.check_suffix(path)
    elif target not in ("huggingface", "open_clip"):  # which are directories
        torch_files.check_suffix(path, nested=target == "actionclip")


def not_expressible(model: config.ModelConfig, target: str) -> list[str]:
    """What a reader of the format would take for something else."""
    temporal, problems = model.temporal, []
    if target != "actionclip":
        if temporal.head != "meanP":
            elsewhere = "use --to actionclip, or " if temporal.head in tensor_names.HEADS else ""
            problems.append(
                f"it has no place for the temporal head {temporal.head}: {elsewhere}--towers-only to leave the "
                "temporal head out"
            )
        problems += [f"it has no place for {name}" for name in ("shift", "joint") if getattr(model, name)]
    if target == "huggingface":
        return problems + huggingface.not_expressible(model)
    if target == "big_vision":
        return problems + big_vision.not_expressible(model)
    if target == "open_clip":
        return problems + open_clip_export.not_expressible(model)
    if target == "pe":
        return problems + perception_encoder.not_expressible(model)
    free = {*huggingface.SIZES, *huggingface.PIXELS, "norm_eps", "model.activation", "pad"} - {"mlp_width"}
    problems += settings.unlike(model, config.ModelConfig(), free)
    if model.activation != "quick_gelu":
        problems.append(f"it means the activation quick_gelu, the model has {model.activation}")
    if model.norm_eps != 1e-5:
        problems.append(f"it means LayerNorm eps 1e-5, the model has {model.norm_eps:g}")
    for name, tower in (("image", model.image), ("text", model.text)):
        if tower.heads * 64 != tower.width:
            problems.append(f"it means heads of 64 channels, the {name} tower has {tower.heads} in {tower.width}")
    if (has := pixels.of(model.image)) != pixels.CLIP:
        problems.append(f"it means CLIP's pixels ({pixels.CLIP}), the model has {has}")
    return problems + (head_not_expressible(model) if target == "actionclip" else [])


def head_not_expressible(model: config.ModelConfig) -> list[str]:
    """Where a temporal head is not the one that ActionCLIP builds, whose sizes are fixed but for the widths."""
    temporal, problems = model.temporal, []
    if temporal.head not in tensor_names.HEADS:
        problems.append(f"it has no names for the temporal head {temporal.head}")
    if temporal.head == "Conv_1D" and not temporal.legacy_layout:
        problems.append("it means Conv_1D's legacy layout over channels, the model convolves over time")
    wanted = {
        "Transf": {"depth": 6, "heads": model.text.width // 64, "positions": model.text.context, "norm_eps": 1e-12},
        "Transf_cls": {"depth": 6, "heads": 8, "positions": model.frames},
    }.get(temporal.head, {})
    has = dataclasses.asdict(temporal)
    problems += [
        f"it means a {temporal.head} head with {name} {value}, the model has {has[name]}"
        for name, value in wanted.items()
        if has[name] != value
    ]
    return problems


def export_rows(model: config.ModelConfig, target: str, provenance: Mapping[str, Any]) -> list[mapping.Row]:
    """The names of a format for a model."""
    if target == "huggingface":
        return huggingface.rows(model)
    if target == "big_vision":
        returns = provenance.get("format") == target
        return big_vision.rows(model, big_vision.spelling(provenance["dtypes"]) if returns else big_vision.Spelling())
    if target == "open_clip":
        return open_clip_export.names(model, provenance).rows(model)
    if target in ("openai", "pe"):
        return naming.Naming(target).rows(model)
    towers, head = formats.PLACES["actionclip"]
    return tensor_names.openai_towers(model, towers) + tensor_names.temporal_head(model, head)


def restore_dtypes(
    tensors: dict[str, np.ndarray], weights: model_directory.Weights, target: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The dtypes and the unused tensors of the source, if it had this format and no value would change."""
    if weights.provenance.get("format") != target or "image_size" in weights.provenance:
        if target == "openai":  # the scalars tell a reader whose format it is
            image, words = weights.model.image, weights.model.text
            scalars = {"input_resolution": image.size, "context_length": words.context, "vocab_size": words.vocabulary}
            tensors = tensors | {name: np.array(value, np.int64) for name, value in scalars.items()}
        return tensors, ["all weights are float32"]
    dtypes = weights.provenance.get("dtypes", {})
    notes, rounded = [], []
    for name, array in tensors.items():
        cast = array.astype(torch_files.dtype(dtypes.get(name, "float32")))
        if np.array_equal(cast.astype(np.float32), array):
            tensors[name] = cast
        else:
            rounded.append(name)
    if rounded:
        notes.append(f"{len(rounded)} tensors stay float32: their values no longer fit the source's dtypes")
    counts = collections.Counter(str(array.dtype) for array in tensors.values())
    notes.append("tensors: " + ", ".join(f"{count} {dtype}" for dtype, count in counts.items()))
    return tensors | weights.unused, notes


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
    """A directory that from_pretrained of transformers' model and processor read."""
    torch_files.write(directory / "model.safetensors", tensors)
    # save_pretrained compares with defaults, of which SigLIP's make transformers warn
    described = huggingface.describe(model).to_json_string(use_diff=False)
    (directory / huggingface.CONFIG).write_text(described, encoding="utf-8")
    huggingface.image_processor(model.image).save_pretrained(directory)
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.text.context)  # to which transformers pads
    tokenizer.save_pretrained(directory)
