"""transformers' CLIP, MetaCLIP 2 and SigLIP: what their files say of a model, and their classes set up for one."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import transformers
from huggingface_hub import errors as hub

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, locate, mapping, settings, shapes, siglip, tensor_names, torch_files

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
CLEANING = {"clip": "lower", "metaclip_2": "whitespace"}
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


def follow(source: torch_files.Source, model: config.ModelConfig) -> config.ModelConfig:
    """The model with all that `config.json` says and shapes do not; its sizes must be those of the weights."""
    by_names = "siglip" if siglip.is_one(model) else "clip"
    kind = source.side[CONFIG].get("model_type", by_names)
    if (kind == "siglip") != siglip.is_one(model):
        raise errors.CheckpointError(
            f"{source.name}: {CONFIG} says model_type {kind!r}, and the weights have the names of {by_names!r}"
        )
    try:
        described = CONFIGS[kind].from_dict(source.side[CONFIG])
        vision, _ = towers_of(described)
        followed = dataclasses.replace(
            model,
            activation=activation(vision),
            norm_eps=float(vision.layer_norm_eps),
            image=follow_image(vision, model.image),
            text=follow_text(source, described, model.text),
        )
        problems = differences(described, followed)
    except (TypeError, ValueError, AttributeError, hub.StrictDataclassError) as error:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} is not that of a CLIP ({error})") from None
    settings.refuse(source, CONFIG, problems)
    return followed


def towers_of(described: transformers.PreTrainedConfig) -> tuple[Any, Any]:
    """The configurations of both towers, which transformers makes of whatever it is given."""
    vision, text = described.vision_config, described.text_config
    if not all(isinstance(part, transformers.PreTrainedConfig) for part in (vision, text)):
        raise TypeError("no configurations of two towers")
    return vision, text


def activation(tower: Any) -> str:
    """The activation of a tower's configuration, in this project's words where it has any."""
    return ACTIVATIONS.get(tower.hidden_act, tower.hidden_act)


def follow_image(vision: Any, image: config.ImageConfig) -> config.ImageConfig:
    """The image tower with its heads, and with pixels that its patches do not reach."""
    heads = int(vision.num_attention_heads)
    image = dataclasses.replace(image, heads=heads)
    if image.pooling != "attention":
        return image
    size, covered = settings.one_number(vision.image_size), image.grid * image.patch
    if type(size) is not int or not 0 <= size - covered < image.patch:
        size = covered  # which `differences` finds to be another
    return dataclasses.replace(image, pool_heads=heads, size=size, unread=size - covered)


def follow_text(
    source: torch_files.Source, described: transformers.PreTrainedConfig, words: config.TextConfig
) -> config.TextConfig:
    """The text tower with its heads and activation, and where its feature is read."""
    vision, text = towers_of(described)
    same = activation(vision) == activation(text)
    told = {"heads": int(text.num_attention_heads), "activation": "same" if same else activation(text)}
    if isinstance(described, transformers.MetaClip2Config):
        told |= WORLDWIDE | {"end": text.eos_token_id}
    elif isinstance(described, transformers.CLIPConfig):
        largest = text.eos_token_id in (LARGEST, words.vocabulary - 1)
        told |= {"pooling": "largest", "end": 0} if largest else {"pooling": "end", "end": text.eos_token_id}
        told |= {"pad": 0, "cleaning": "lower" if takes_lower(source, words) else "whitespace"}
    return dataclasses.replace(words, **told)


def takes_lower(source: torch_files.Source, words: config.TextConfig) -> bool:
    """Whether texts are prepared as CLIP's: not where another tokenizer lies beside the weights, which does it all."""
    file = source.path.parent / "tokenizer_config.json"
    if words.vocabulary == 49408 or source.path.name not in locate.WEIGHT_FILES or not file.is_file():
        return True
    return "CLIPTokenizer" in str(locate.read_json(file).get("tokenizer_class", ""))


def differences(described: transformers.PreTrainedConfig, model: config.ModelConfig) -> list[str]:
    """What transformers would compute otherwise than this project, or could not load into the weights' shapes."""
    vision, text = towers_of(described)
    image_sizes = sizes(model.image) | {"image_size": model.image.size, "patch_size": model.image.patch}
    text_sizes = sizes(model.text) | {
        "vocab_size": model.text.vocabulary,
        "max_position_embeddings": model.text.context,
    }
    if siglip.is_one(model):
        problems = siglip_differences(vision, text)
        text_sizes |= {"projection_size": model.embed_width}
    else:
        problems = settings.size_differences(described.to_dict(), {"projection_dim": model.embed_width})
    problems += [
        f"vision_config.{line}"
        for line in settings.size_differences(vision.to_dict(), image_sizes | {"num_channels": 3})
    ]
    problems += [f"text_config.{line}" for line in settings.size_differences(text.to_dict(), text_sizes)]
    for name, part in (("vision_config", vision), ("text_config", text)):
        if part.hidden_act not in ACTIVATIONS:
            known = " or ".join(ACTIVATIONS)
            problems.append(f"{name}.hidden_act is {part.hidden_act!r}: only {known} is supported")
    if vision.layer_norm_eps != text.layer_norm_eps:
        problems.append(f"the towers differ in layer_norm_eps: {vision.layer_norm_eps!r} and {text.layer_norm_eps!r}")
    end = text.eos_token_id
    if model.text.pooling == "end" and not (type(end) is int and 0 <= end < model.text.vocabulary):
        problems.append(f"text_config.eos_token_id is {end!r}: expected one of {model.text.vocabulary} tokens")
    return problems


def siglip_differences(vision: Any, text: Any) -> list[str]:
    """What of a SigLIP's configuration is not followed."""
    wanted = {
        "vision_config.vision_use_head": (vision.vision_use_head, True),
        "vision_config.attention_dropout": (vision.attention_dropout, 0),
        "text_config.attention_dropout": (text.attention_dropout, 0),
    }
    return [
        f"{name} is {value!r}: only {only!r} is supported" for name, (value, only) in wanted.items() if value != only
    ]


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
    words = config.TextConfig()
    if model.text.pooling == "end" and (kind(model) == "metaclip_2" or model.text.end != LARGEST):
        words = dataclasses.replace(words, pooling="end", end=model.text.end, cleaning=CLEANING[kind(model)])
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
