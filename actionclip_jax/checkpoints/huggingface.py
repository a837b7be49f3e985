"""transformers' CLIP: what its files say of a model, and its classes set up for one."""

import dataclasses
from typing import Any, Literal

import transformers
from huggingface_hub import errors as hub

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, settings, torch_files

CONFIG = "config.json"
RESAMPLE = {"bicubic": 3, "bilinear": 2}  # Pillow's numbers


def check(source: torch_files.Source) -> None:
    """Raises CheckpointError for settings of something other than CLIP, before the tensors are looked at."""
    if CONFIG not in source.side:
        return
    described = source.side[CONFIG]
    kind = described.get("model_type", "clip")
    if kind != "clip":
        raise errors.CheckpointError(f"{source.name}: {CONFIG} says model_type {kind!r}: only 'clip' is read")
    for tower in ("vision_config", "text_config"):
        part = described.get(tower)
        kind = part.get("model_type", "clip") if isinstance(part, dict) else "clip"
        if not str(kind).startswith("clip"):
            raise errors.CheckpointError(f"{source.name}: {CONFIG} says {tower}.model_type {kind!r}: not CLIP's")
    if "auto_map" in described:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} asks for code of its own (auto_map): never run here")


def follow(source: torch_files.Source, model: config.ModelConfig) -> config.ModelConfig:
    """The model with activation, eps and heads by `config.json`, whose sizes must be those of the weights."""
    try:
        described = transformers.CLIPConfig.from_dict(source.side[CONFIG])
        vision, text = towers(described)
        followed = dataclasses.replace(
            model,
            activation=vision.hidden_act,
            norm_eps=float(vision.layer_norm_eps),
            image=dataclasses.replace(model.image, heads=int(vision.num_attention_heads)),
            text=dataclasses.replace(model.text, heads=int(text.num_attention_heads)),
        )
        problems = differences(described, model)
    except (TypeError, ValueError, AttributeError, hub.StrictDataclassError) as error:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} is not that of a CLIP ({error})") from None
    settings.refuse(source, CONFIG, problems)
    return followed


def towers(described: transformers.CLIPConfig) -> tuple[transformers.CLIPVisionConfig, transformers.CLIPTextConfig]:
    """The configurations of both towers, which transformers makes of whatever it is given."""
    vision, text = described.vision_config, described.text_config
    if not isinstance(vision, transformers.CLIPVisionConfig) or not isinstance(text, transformers.CLIPTextConfig):
        raise TypeError("no configurations of two towers")
    return vision, text


def differences(described: transformers.CLIPConfig, model: config.ModelConfig) -> list[str]:
    """What transformers would compute otherwise than this project, or could not load into the weights' shapes."""
    vision, text = towers(described)
    image_sizes = sizes(model.image) | {"image_size": model.image.size, "patch_size": model.image.patch}
    text_sizes = sizes(model.text) | {
        "vocab_size": model.text.vocabulary,
        "max_position_embeddings": model.text.context,
    }
    problems = settings.size_differences(described.to_dict(), {"projection_dim": model.embed_width})
    problems += [
        f"vision_config.{line}"
        for line in settings.size_differences(vision.to_dict(), image_sizes | {"num_channels": 3})
    ]
    problems += [f"text_config.{line}" for line in settings.size_differences(text.to_dict(), text_sizes)]
    for name, part in (("vision_config", vision), ("text_config", text)):
        if part.hidden_act not in config.ACTIVATIONS:
            known = " or ".join(config.ACTIVATIONS)
            problems.append(f"{name}.hidden_act is {part.hidden_act!r}: only {known} is supported")
    for name in ("hidden_act", "layer_norm_eps"):
        if getattr(vision, name) != getattr(text, name):
            problems.append(f"the towers differ in {name}: {getattr(vision, name)!r} and {getattr(text, name)!r}")
    end = model.text.vocabulary - 1
    if text.eos_token_id not in (2, end):  # 2 is what old files have: it means the largest id
        problems.append(f"text_config.eos_token_id is {text.eos_token_id!r}: only the largest id, {end}, is supported")
    return problems


def sizes(tower: config.ImageConfig | config.TextConfig) -> dict[str, int]:
    """The sizes that both towers have, in transformers' terms."""
    return {"hidden_size": tower.width, "intermediate_size": 4 * tower.width, "num_hidden_layers": tower.depth}


def clip_config(model: config.ModelConfig) -> transformers.CLIPConfig:
    """The towers' configuration in transformers' terms."""

    def shared(tower: config.ImageConfig | config.TextConfig) -> dict[str, Any]:
        return {
            **sizes(tower),
            "num_attention_heads": tower.heads,
            "projection_dim": model.embed_width,
            "hidden_act": model.activation,
            "layer_norm_eps": model.norm_eps,
        }

    image, text = model.image, model.text
    return transformers.CLIPConfig(
        vision_config=shared(image) | {"image_size": image.size, "patch_size": image.patch},
        text_config=shared(text)
        | {
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context,
            "bos_token_id": text.vocabulary - 2,
            "eos_token_id": text.vocabulary - 1,
            "pad_token_id": text.vocabulary - 1,
        },
        projection_dim=model.embed_width,
    )


def image_processor(image: config.ImageConfig) -> "transformers.CLIPImageProcessor":
    """transformers' processor that makes pixels as an image tower takes them."""
    square, squashes = {"height": image.size, "width": image.size}, image.resize == "squash"
    return pil_processor()(
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
