"""A model in open_clip's words: the settings that open_clip_sizes and open_clip_words read."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import transformers

from actionclip_jax import config, files, text
from actionclip_jax.checkpoints import errors, naming, open_clip, open_clip_words, timm_trunks, torch_files, wrappers

WEIGHTS = "open_clip_model.safetensors"
LIKE_CLIPS = ("class_token", "patch_bias", "rotary", "pooling", "projection", "unread")  # in a tower of its own
PIXELS = ("mean", "std", "resize", "filter")  # fields that it says of any tower


def not_expressible(model: config.ModelConfig) -> list[str]:
    """What its settings cannot say."""
    trunks = alike(model.image)
    if trunk_name(model):
        return []
    if trunks:
        built = " or ".join(f"{name} with {tower.activation}, eps {tower.norm_eps:g}" for name, tower in trunks.items())
        return [f"it builds this image tower as {built}; the model has {model.activation}, eps {model.norm_eps:g}"]
    clips = config.ImageConfig()
    problems = [
        f"it has no image tower of such sizes with {name} {getattr(model.image, name)!r}"
        for name in LIKE_CLIPS
        if getattr(model.image, name) != getattr(clips, name)
    ]
    words = text_activation(model)
    if words != model.activation and "quick_gelu" in (words, model.activation):
        problems.append(f"it has quick_gelu in both towers or none, the model has {model.activation} and {words}")
    return problems


def alike(image: config.ImageConfig) -> dict[str, timm_trunks.Trunk]:
    """timm's towers of the same sizes, by name."""

    def sizes(tower: config.ImageConfig) -> config.ImageConfig:
        pixels = {name: getattr(image, name) for name in PIXELS}
        return dataclasses.replace(tower, projection=image.projection, **pixels)

    return {name: trunk for name, trunk in timm_trunks.TRUNKS.items() if sizes(trunk.image) == image}


def trunk_name(model: config.ModelConfig) -> str | None:
    """timm's name of the image tower, if it is one of timm's."""
    flavour = (model.activation, model.norm_eps)
    names = (name for name, trunk in alike(model.image).items() if (trunk.activation, trunk.norm_eps) == flavour)
    return next(names, None)


def text_activation(model: config.ModelConfig) -> str:
    """The text tower's activation by its name."""
    return model.activation if model.text.activation == "same" else model.text.activation


def names(model: config.ModelConfig, provenance: Mapping[str, Any]) -> naming.Naming:
    """The names of the model's tensors, which are those it came with if it came from open_clip."""
    timm = trunk_name(model) is not None
    if provenance.get("format") == "open_clip":
        return naming.of("open_clip", "", wrappers.ANCHORS[2] if timm else wrappers.ANCHORS[0], provenance["dtypes"])
    return naming.Naming("open_clip", timm=timm, apart=naming.TEXT if timm else "")


def write(
    directory: pathlib.Path,
    model: config.ModelConfig,
    tensors: dict[str, np.ndarray],
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    """A directory that open_clip's `local-dir:` reads."""
    own = takes_its_own(model.text)
    if not own and text.sees_padding(model.text) and tokenizer.pad_token_id != model.text.pad:
        raise errors.CheckpointError(
            f"the open_clip format cannot say this model:\n  texts are padded with the token {model.text.pad}, and the "
            f"tokenizer pads with {tokenizer.pad_token_id}"
        )
    if trunk_name(model) and model.image.projection:
        zeros = np.zeros(model.embed_width, np.float32)
        tensors = {timm_trunks.BIAS: zeros} | tensors
    torch_files.write(directory / WEIGHTS, tensors)
    files.write_json(directory / open_clip.CONFIG, describe(model, any(name.startswith("text.") for name in tensors)))
    if not own:
        tokenizer.save_pretrained(directory)


def takes_its_own(words: config.TextConfig) -> bool:
    """Whether texts are cut into tokens by the tokenizer that is part of open_clip."""
    return text.takes_clips(words) and words.pad == 0


def describe(model: config.ModelConfig, apart: bool) -> dict[str, Any]:
    """The content of `open_clip_config.json`; `apart` is whether the text tower's names have a part of their own."""
    image = model.image
    pixels = {"mean": list(image.mean), "std": list(image.std)}
    return {
        "model_cfg": {
            "embed_dim": model.embed_width,
            **({"quick_gelu": True} if text_activation(model) == "quick_gelu" else {}),
            **({"init_logit_bias": -10} if model.logit_bias else {}),
            **({"custom_text": True} if apart else {}),
            "vision_cfg": describe_image(model),
            "text_cfg": describe_text(model),
        },
        "preprocess_cfg": pixels | {"interpolation": image.filter, "resize_mode": image.resize},
    }


def describe_image(model: config.ModelConfig) -> dict[str, Any]:
    """The section of the image tower."""
    image, name = model.image, trunk_name(model)
    if name:
        proj = None if image.projection else "none"
        timm = {"timm_model_name": name, "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": proj}
        return {"image_size": image.size} | timm
    return {
        "image_size": image.size,
        "layers": image.depth,
        "width": image.width,
        "head_width": image.width // image.heads,
        "patch_size": image.patch,
        **({} if image.pre_norm else {"no_ln_pre": True}),
        **describe_blocks(image, model.activation, model.norm_eps),
    }


def describe_text(model: config.ModelConfig) -> dict[str, Any]:
    """The section of the text tower."""
    words, own = model.text, takes_its_own(model.text)
    poolings = {ours: theirs for theirs, ours in open_clip_words.POOLINGS.items()}
    cleanings = {ours: theirs for theirs, ours in open_clip_words.CLEANINGS.items()}
    usual = "lower" if own else "whitespace"
    clean = cleanings[words.cleaning]
    return {
        "context_length": words.context,
        "vocab_size": words.vocabulary,
        **({} if own else {"hf_tokenizer_name": "the one beside this file"}),
        **({} if clean == usual else {"tokenizer_kwargs": {"clean": clean}}),
        "width": words.width,
        "heads": words.heads,
        "layers": words.depth,
        **({} if words.causal else {"no_causal_mask": True}),
        **({"proj_bias": True} if words.projection_bias else {}),
        **({} if words.pooling == "largest" else {"pool_type": poolings[words.pooling]}),
        **({"eos_id": words.end} if words.pooling == "end" else {}),
        **describe_blocks(words, text_activation(model), model.norm_eps),
    }


def describe_blocks(tower: config.ImageConfig | config.TextConfig, activation: str, norm_eps: float) -> dict[str, Any]:
    """What both sections say of the blocks where they are not CLIP's."""
    return {
        **({"mlp_ratio": ratio(tower.width, tower.mlp_width)} if tower.mlp_width else {}),
        **({} if norm_eps == 1e-5 else {"norm_kwargs": {"eps": norm_eps}}),
        **({"act_kwargs": {"approximate": "tanh"}} if activation == "gelu_tanh" else {}),
    }


def ratio(width: int, hidden: int) -> float:
    """The number that `width` times makes `hidden` once it is cut to a whole number."""
    exact = hidden / width
    return exact if int(width * exact) == hidden else math.nextafter(exact, math.inf)
