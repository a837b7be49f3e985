"""A model by open_clip's settings, of which `open_clip.check` left those that are followed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, open_clip, open_clip_words, settings, timm_trunks, torch_files

VISION_SIZES = ("layers", "width", "patch_size", "image_size")
TEXT_SIZES = ("layers", "width", "context_length", "vocab_size")


def trunk(source: torch_files.Source) -> config.ImageConfig:
    """The image tower of weights in timm's names.

    Raises:
        CheckpointError: no file beside the weights says which tower it is.
    """
    vision = open_clip.sections(source)[1] if open_clip.CONFIG in source.side else {}
    if vision.get("timm_model_name") is None:
        raise errors.CheckpointError(
            f"{source.name}: its image tower has timm's names, and no {open_clip.CONFIG} beside it says which tower "
            "(timm_model_name): give the directory that holds both, with the weights named as open_clip names them"
        )
    image = timm_trunks.TRUNKS[vision["timm_model_name"]].image
    return dataclasses.replace(image, projection=vision.get("timm_proj") != "none")


def follow(source: torch_files.Source, model: config.ModelConfig, timm: bool, apart: bool) -> config.ModelConfig:
    """The model by `open_clip_config.json`, whose sizes must be those of the weights.

    Args:
        source: the checkpoint.
        model: by its tensors, but for an image tower of timm's, which is that of `trunk`.
        timm: whether it is one.
        apart: whether the names of the text tower have a part of their own.
    """
    described, vision, text = open_clip.sections(source)
    quick = bool(described.get("quick_gelu", False))
    name = vision.get("timm_model_name") if timm else None
    tower = timm_trunks.TRUNKS[name] if name else None
    problems = size_problems(described, vision, text, model)
    eps = tower.norm_eps if tower else norm_eps(vision)
    if eps is None or norm_eps(text) != eps:
        problems += eps_problems(vision, text, tower)
    if not timm and vision.get("timm_model_name") is not None:
        problems.append(f"vision_cfg.timm_model_name is {vision['timm_model_name']!r}: the weights are not timm's")
    if apart and not described.get("custom_text"):
        problems.append(f"model_cfg.custom_text is {described.get('custom_text')!r}: the weights' text tower is apart")
    settings.refuse(source, open_clip.CONFIG, problems)
    assert eps is not None  # refused above otherwise
    own, others = (tower.activation if tower else activation(vision, quick)), activation(text, quick)
    words = open_clip_words.follow(source, text, model.text)
    return dataclasses.replace(
        model,
        activation=own,
        norm_eps=eps,
        logit_bias=described.get("init_logit_bias") is not None,
        image=model.image if timm else follow_vision(vision, model.image),
        text=dataclasses.replace(words, activation="same" if own == others else others),
    )


def follow_vision(vision: Mapping[str, Any], image: config.ImageConfig) -> config.ImageConfig:
    """An image tower of open_clip's own, with the heads that the section says."""
    # a section that gives its width and not its heads has open_clip's defaults
    head_width = vision.get("head_width", 64 if "width" in vision else image.width // max(image.heads, 1))
    return dataclasses.replace(image, heads=image.width // int(head_width), pre_norm=not vision.get("no_ln_pre", False))


def size_problems(
    described: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any], model: config.ModelConfig
) -> list[str]:
    """Sizes in the file that the weights do not have."""
    image, words = model.image, model.text
    vision_sizes = dict(zip(VISION_SIZES, (image.depth, image.width, image.patch, image.size), strict=True))
    text_sizes = dict(zip(TEXT_SIZES, (words.depth, words.width, words.context, words.vocabulary), strict=True))
    problems = [f"model_cfg.{line}" for line in settings.size_differences(described, {"embed_dim": model.embed_width})]
    problems += [f"vision_cfg.{line}" for line in settings.size_differences(vision, vision_sizes)]
    problems += [f"text_cfg.{line}" for line in settings.size_differences(text, text_sizes)]
    plain = vision.get("timm_model_name") is None
    problems += hidden_problems("vision_cfg", vision, image) if plain else []
    return problems + hidden_problems("text_cfg", text, words)


def hidden_problems(section: str, part: Mapping[str, Any], tower: config.ImageConfig | config.TextConfig) -> list[str]:
    """Where a block's MLP has not the hidden channels that the section says; one without a width says nothing."""
    if part.get("mlp_ratio") is None and "width" not in part:
        return []
    ratio, hidden = part.get("mlp_ratio") or 4.0, tower.mlp_width or 4 * tower.width
    if int(tower.width * ratio) == hidden:  # as open_clip rounds it
        return []
    return [f"{section}.mlp_ratio is {ratio!r}, the weights have {hidden} hidden channels in a width of {tower.width}"]


def eps_problems(vision: Mapping[str, Any], text: Mapping[str, Any], tower: timm_trunks.Trunk | None) -> list[str]:
    """What the LayerNorms of the towers say, which have not one and the same eps."""
    parts = {"text_cfg": text} if tower else {"vision_cfg": vision, "text_cfg": text}
    wanted = f"timm's image tower has eps {tower.norm_eps:g}: " if tower else ""
    return [
        f"{name}.norm_kwargs is {part.get('norm_kwargs')!r}: {wanted}expected nothing but one eps for both towers"
        for name, part in parts.items()
    ]


def activation(part: Mapping[str, Any], quick: bool) -> config.Activation:
    """A tower's activation."""
    exact = (part.get("act_kwargs") or {}).get("approximate", "none") == "none"
    return "quick_gelu" if quick else "gelu" if exact else "gelu_tanh"


def norm_eps(section: Mapping[str, Any]) -> float | None:
    """The eps of a tower's LayerNorms; None where the section says more of them."""
    options = section.get("norm_kwargs") or {}
    if not isinstance(options, dict) or options.keys() - {"eps"}:
        return None
    eps = options.get("eps", 1e-5)
    return eps if isinstance(eps, float) else None
