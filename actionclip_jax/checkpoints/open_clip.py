"""open_clip's settings beside the weights: read, known to change nothing, or refused by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, settings, torch_files

CONFIG = "open_clip_config.json"

# open_clip's settings: those that must be as here, the model being another one otherwise ...
BLOCKS = {
    "mlp_ratio": 4,
    "ls_init_value": None,
    "act_kwargs": {},
    "block_type": "default",
    "output_tokens": False,
    "final_ln_after_pool": False,
    **dict.fromkeys(
        ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"), False
    ),
}
VISION = BLOCKS | {
    "attentional_pool": False,
    "no_ln_pre": False,
    "pos_embed_type": "learnable",
    "pool_type": "tok",
    "global_average_pool": False,
    "input_patchnorm": False,
    "timm_model_name": None,
}
TEXT = BLOCKS | {
    "embed_cls": False,
    "no_causal_mask": False,
    "pool_type": "argmax",
    "proj_bias": False,
    "proj_type": "linear",
    "hf_model_name": None,
    "hf_tokenizer_name": None,
    "tokenizer_mode": None,
    "tokenizer_kwargs": {},
}
MODEL = {"custom_text": False, "multimodal_cfg": None, "init_logit_bias": None, "nonscalar_logit_scale": False}
# ... and those that change no number here: of training, or of what is refused above
VISION_IGNORED = ("patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained", "timm_pool")
VISION_IGNORED += ("timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path")
TEXT_IGNORED = ("pad_id", "eos_id", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type")
MODEL_IGNORED = ("init_logit_scale", "cast_dtype", "output_dict", "description")
VISION_SIZES = ("layers", "width", "patch_size", "image_size")
TEXT_SIZES = ("layers", "width", "context_length", "vocab_size")


def check(source: torch_files.Source) -> None:
    """Raises CheckpointError for settings of something other than CLIP, before the tensors are looked at."""
    if CONFIG not in source.side:
        return
    described, vision, text = sections(source)
    problems = settings.differences(CONFIG, source.side[CONFIG], {}, ("model_cfg", "preprocess_cfg"))
    problems += settings.differences(
        "model_cfg", described, MODEL, ("quick_gelu", "embed_dim", "vision_cfg", "text_cfg", *MODEL_IGNORED)
    )
    sizes = ("layers", "width", "norm_kwargs")
    others = (*sizes, *VISION_SIZES, "head_width", *VISION_IGNORED)
    problems += settings.differences("vision_cfg", vision, VISION, others)
    problems += settings.differences("text_cfg", text, TEXT, (*sizes, *TEXT_SIZES, "heads", *TEXT_IGNORED))
    settings.refuse(source, CONFIG, problems)


def sections(source: torch_files.Source) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`model_cfg` and in it `vision_cfg` and `text_cfg`."""
    described = source.side[CONFIG].get("model_cfg")
    if isinstance(described, dict):
        vision, text = (described.get(name, {}) for name in ("vision_cfg", "text_cfg"))
        if isinstance(vision, dict) and isinstance(text, dict):
            return described, vision, text
    raise errors.CheckpointError(f"{source.name}: {CONFIG} is not open_clip's (no model_cfg with sections in it)")


def follow(source: torch_files.Source, model: config.ModelConfig) -> config.ModelConfig:
    """The model with activation, eps and heads by `open_clip_config.json`, whose sizes must be those of the weights."""
    described, vision, text = sections(source)
    image, words = model.image, model.text
    vision_sizes = dict(zip(VISION_SIZES, (image.depth, image.width, image.patch, image.size), strict=True))
    text_sizes = dict(zip(TEXT_SIZES, (words.depth, words.width, words.context, words.vocabulary), strict=True))
    problems = [f"model_cfg.{line}" for line in settings.size_differences(described, {"embed_dim": model.embed_width})]
    problems += [f"vision_cfg.{line}" for line in settings.size_differences(vision, vision_sizes)]
    problems += [f"text_cfg.{line}" for line in settings.size_differences(text, text_sizes)]
    eps = norm_eps(vision)
    if eps is None or norm_eps(text) != eps:
        problems += [
            f"{name}.norm_kwargs is {part.get('norm_kwargs')!r}: expected nothing but one eps for both towers"
            for name, part in (("vision_cfg", vision), ("text_cfg", text))
        ]
    settings.refuse(source, CONFIG, problems)
    assert eps is not None  # refused above otherwise
    # a section that gives its width and not its heads has open_clip's defaults
    head_width = vision.get("head_width", 64 if "width" in vision else image.width // max(image.heads, 1))
    try:
        return dataclasses.replace(
            model,
            activation="quick_gelu" if described.get("quick_gelu", False) else "gelu",
            norm_eps=eps,
            image=dataclasses.replace(image, heads=image.width // int(head_width)),
            text=dataclasses.replace(words, heads=int(text.get("heads", 8 if "width" in text else words.heads))),
        )
    except (TypeError, ValueError, ArithmeticError) as error:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} is not open_clip's ({error!r})") from None


def norm_eps(section: Mapping[str, Any]) -> float | None:
    """The eps of a tower's LayerNorms; None where the section says more of them."""
    options = section.get("norm_kwargs") or {}
    if not isinstance(options, dict) or options.keys() - {"eps"}:
        return None
    eps = options.get("eps", 1e-5)
    return eps if isinstance(eps, float) else None
