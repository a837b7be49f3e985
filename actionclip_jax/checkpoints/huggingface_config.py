"""What transformers' `config.json` says of a model: followed, or refused by name."""

import dataclasses
from typing import Any

import transformers
from huggingface_hub import errors as hub

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, huggingface, locate, settings, siglip, torch_files

CONFIG = huggingface.CONFIG


def follow(source: torch_files.Source, model: config.ModelConfig) -> config.ModelConfig:
    """The model with all that `config.json` says and shapes do not; its sizes must be those of the weights."""
    by_names = "siglip" if siglip.is_one(model) else "clip"
    kind = source.side[CONFIG].get("model_type", by_names)
    if (kind == "siglip") != siglip.is_one(model):
        raise errors.CheckpointError(
            f"{source.name}: {CONFIG} says model_type {kind!r}, and the weights have the names of {by_names!r}"
        )
    try:
        described = configuration(source.side[CONFIG], kind)
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


def notes(model: config.ModelConfig, configured: bool) -> list[str]:
    """What is taken for granted of a model with or without a `config.json`."""
    if configured:
        return siglip.words_notes(model.text) if siglip.is_one(model) else []
    heads = f"{model.image.heads} and {model.text.heads} heads of attention"
    if siglip.is_one(model):
        known = f"activation {model.activation}, LayerNorm eps {model.norm_eps:g}, {heads}"
        return [f"{known}, as the SigLIP of this size has: no {CONFIG} says them", *siglip.notes(model)]
    if model.text.vocabulary == huggingface.XLM_V:
        return [f"{heads}, and texts as MetaCLIP 2's, whose vocabulary it has: no {CONFIG} says them"]
    return []


def configuration(content: dict[str, Any], kind: str) -> transformers.PreTrainedConfig:
    """What transformers makes of a `config.json`; `kind` is its model_type, where it says none."""
    kind, text = content.get("model_type", kind), content.get("text_config")
    if kind == "siglip" and isinstance(text, dict):
        # no tower reads these; transformers' own values, beyond SigLIP's vocabulary, make it warn each time
        content = content | {"text_config": {"bos_token_id": None, "eos_token_id": None} | text}
    return huggingface.CONFIGS[kind](**content)  # and so does from_dict, which looks at those values


def towers_of(described: transformers.PreTrainedConfig) -> tuple[Any, Any]:
    """The configurations of both towers, which transformers makes of whatever it is given."""
    vision, text = described.vision_config, described.text_config
    if not all(isinstance(part, transformers.PreTrainedConfig) for part in (vision, text)):
        raise TypeError("no configurations of two towers")
    return vision, text


def activation(tower: Any) -> str:
    """The activation of a tower's configuration, in this project's words where it has any."""
    return huggingface.ACTIVATIONS.get(tower.hidden_act, tower.hidden_act)


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
        told |= huggingface.WORLDWIDE | {"end": text.eos_token_id}
    elif isinstance(described, transformers.CLIPConfig):
        largest = text.eos_token_id in (huggingface.LARGEST, words.vocabulary - 1)
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
    image_sizes = huggingface.sizes(model.image) | {"image_size": model.image.size, "patch_size": model.image.patch}
    text_sizes = huggingface.sizes(model.text) | {
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
        if part.hidden_act not in huggingface.ACTIVATIONS:
            known = " or ".join(huggingface.ACTIVATIONS)
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
