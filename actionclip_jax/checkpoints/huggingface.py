"""transformers' CLIP, MetaCLIP 2 and SigLIP: whose a file is, its names, and its classes set up for a model."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import transformers

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, mapping, settings, shapes, siglip, tensor_names, torch_files

CONFIG = "config.json"
CONFIGS: dict[str, Any] = {  # by model_type
    "clip": transformers.CLIPConfig,
    "metaclip_2": transformers.MetaClip2Config,
    "siglip": transformers.SiglipConfig,
}
NAFLEX = "siglip2"  # model_type
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}  # theirs -> ours
LARGEST = 2  # an eos_token_id of CLIP that means the largest id there is in a text: old files have it
RESAMPLE = {"bicubic": 3, "bilinear": 2}  # Pillow's numbers
PIXELS = ("mean", "std", "resize", "filter")  # fields that transformers' image processors say
SIZES = ("size", "patch", "vocabulary", "context", "width", "depth", "heads", "mlp_width", "embed_width")  # and shapes
XLM_V = 901629  # tokens of MetaCLIP 2's vocabulary
WORLDWIDE = {"pooling": "end", "end": 2, "pad": 1, "cleaning": "whitespace"}  # the texts of MetaCLIP 2


def check(source: torch_files.Source) -> None:
    """Raises CheckpointError for settings of a model that is not read, before the tensors are looked at."""
    if CONFIG not in source.side:
        return
    described = source.side[CONFIG]
    kind = described.get("model_type", "clip")
    if kind == NAFLEX:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} says model_type {kind!r}, {siglip.NAFLEX}")
    if kind not in CONFIGS:
        known = " or ".join(map(repr, CONFIGS))
        raise errors.CheckpointError(f"{source.name}: {CONFIG} says model_type {kind!r}: only {known} is read")
    for tower in ("vision_config", "text_config"):
        part = described.get(tower)
        part_kind = str(part.get("model_type", kind) if isinstance(part, dict) else kind)
        if part_kind not in (kind, f"{kind}_{tower.removesuffix('_config')}_model"):
            raise errors.CheckpointError(
                f"{source.name}: {CONFIG} says model_type {kind!r}, and {tower}.model_type {part_kind!r}"
            )
    if "auto_map" in described:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} asks for code of its own (auto_map): never run here")


def towers(source: torch_files.Source, tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
    """The model by the names and shapes of its tensors."""
    if siglip.PROBE in tensors or siglip.NAMES["projection"] in tensors:
        return siglip.towers(source, tensors)
    model = shapes.towers(source.name, "huggingface", shapes.HUGGINGFACE_NAMES, tensors)
    if model.text.vocabulary == XLM_V:
        model = dataclasses.replace(model, text=dataclasses.replace(model.text, **WORLDWIDE))
    return model


def sizes(tower: config.ImageConfig | config.TextConfig) -> dict[str, int]:
    """The sizes that both towers have, in transformers' terms."""
    hidden = tower.mlp_width or 4 * tower.width
    return {"hidden_size": tower.width, "intermediate_size": hidden, "num_hidden_layers": tower.depth}


def rows(model: config.ModelConfig) -> list[mapping.Row]:
    """The names of a model."""
    return siglip.rows(model) if siglip.is_one(model) else tensor_names.huggingface_towers(model)


def kind(model: config.ModelConfig) -> str:
    """The model_type with which a model is written, if any can say it."""
    if siglip.is_one(model):
        return "siglip"
    return "metaclip_2" if (model.text.pooling, model.text.cleaning) == ("end", "whitespace") else "clip"


def not_expressible(model: config.ModelConfig) -> list[str]:
    """What a reader of transformers' files would take for something else."""
    if siglip.is_one(model):
        return siglip.unlike(model, ("size", "unread", "activation", "norm_eps", *PIXELS))
    has, words, worldwide = model.text, config.TextConfig(), kind(model) == "metaclip_2"
    if has.pooling == "end" and (worldwide or has.end != LARGEST):
        words = dataclasses.replace(words, pooling="end", end=has.end)
    if has.cleaning == "whitespace" and (worldwide or has.vocabulary != words.vocabulary):
        words = dataclasses.replace(words, cleaning="whitespace")  # as the tokenizer is seen to be another than CLIP's
    free = (*SIZES, *PIXELS, "activation", "norm_eps", "pad")  # no CLIP sees its padding
    return settings.unlike(model, config.ModelConfig(text=words), free)


def describe(model: config.ModelConfig) -> transformers.PreTrainedConfig:
    """The model's configuration in transformers' terms."""
    theirs = {ours: name for name, ours in ACTIVATIONS.items()}
    words_activation = model.activation if model.text.activation == "same" else model.text.activation

    def shared(tower: config.ImageConfig | config.TextConfig, activation: str) -> dict[str, Any]:
        return {
            **sizes(tower),
            "num_attention_heads": tower.heads,
            "hidden_act": theirs[activation],
            "layer_norm_eps": model.norm_eps,
        }

    image, text = model.image, model.text
    vision = shared(image, model.activation) | {"image_size": image.size, "patch_size": image.patch}
    words = shared(text, words_activation)
    words |= {"vocab_size": text.vocabulary, "max_position_embeddings": text.context} | special_tokens(text)
    if siglip.is_one(model):
        return transformers.SiglipConfig(
            vision_config=vision, text_config=words | {"projection_size": model.embed_width}
        )
    shared_width = {"projection_dim": model.embed_width}
    return CONFIGS[kind(model)](vision_config=vision | shared_width, text_config=words | shared_width, **shared_width)


def special_tokens(text: config.TextConfig) -> dict[str, int | None]:
    """The ids of a text's first token, its end and its padding; where the first or the end is read by nobody, None."""
    if text.pooling == "largest":
        end = text.vocabulary - 1
        return {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    end = text.end if text.pooling == "end" else None
    return {"bos_token_id": None, "eos_token_id": end, "pad_token_id": text.pad}


def image_processor(image: config.ImageConfig) -> "transformers.CLIPImageProcessor":
    """transformers' processor that makes pixels as an image tower takes them."""
    square, squashes = {"height": image.size, "width": image.size}, image.resize == "squash"
    return pil_processor("Siglip" if image.pooling == "attention" else "CLIP")(
        size=square if squashes else {"shortest_edge": image.size},
        do_center_crop=not squashes,
        crop_size=square,
        resample=RESAMPLE[image.filter],
        image_mean=list(image.mean),
        image_std=list(image.std),
    )


def pil_processor(family: Literal["CLIP", "Siglip"] = "CLIP") -> "type[transformers.CLIPImageProcessor]":
    """transformers' image processor of a family that computes with Pillow, and so needs no torchvision."""
    # the usual one, which newer versions have beside it, warns as soon as it is named: hence the quotes too
    newer = getattr(transformers, f"{family}ImageProcessorPil", None)
    return getattr(transformers, f"{family}ImageProcessor") if newer is None else newer
