"""open_clip's settings beside the weights: each is followed, changes nothing, or is refused by name."""

from collections.abc import Mapping
from typing import Any

from actionclip_jax.checkpoints import errors, open_clip_words, settings, timm_trunks, torch_files

CONFIG = "open_clip_config.json"

# open_clip's settings: those that must be as here, the model being another one otherwise ...
BLOCKS = {
    "ls_init_value": None,
    "block_type": "default",
    "output_tokens": False,
    "final_ln_after_pool": False,
    **dict.fromkeys(
        ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"), False
    ),
}
VISION = BLOCKS | {
    "attentional_pool": False,
    "pos_embed_type": "learnable",
    "pool_type": "tok",
    "global_average_pool": False,
    "input_patchnorm": False,
}
TEXT = BLOCKS | {"embed_cls": False, "proj_type": "linear", "hf_model_name": None}
MODEL = {"multimodal_cfg": None, "nonscalar_logit_scale": False}
# ... those that open_clip_sizes and open_clip_words follow ...
SHARED = ("layers", "width", "mlp_ratio", "norm_kwargs", "act_kwargs")
VISION_FOLLOWED = (*SHARED, "patch_size", "image_size", "head_width", "no_ln_pre", "timm_model_name")
TEXT_FOLLOWED = (*SHARED, "context_length", "vocab_size", "heads", "no_causal_mask", "proj_bias")
TEXT_FOLLOWED += ("pool_type", "eos_id", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs")
MODEL_FOLLOWED = ("quick_gelu", "embed_dim", "vision_cfg", "text_cfg", "init_logit_bias")
# ... and those that change no number: of training, of what is refused above, or what the tensors' names say. pad_id is
# of a mask that is refused, and not what the tokenizer pads with
VISION_IGNORED = ("patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained")
VISION_IGNORED += ("timm_proj_bias", "timm_drop", "timm_drop_path", "timm_pool", "timm_proj")
TEXT_IGNORED = ("pad_id", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type")
MODEL_IGNORED = ("custom_text", "init_logit_scale", "cast_dtype", "output_dict", "description")
# what the followed ones are, where another kind of value would be taken for something
NUMBERS = ("layers", "mlp_ratio", "head_width", "heads", "eos_id", "init_logit_bias")
NAMES = ("timm_model_name", "timm_pool", "timm_proj", "pool_type", "hf_tokenizer_name", "tokenizer_mode")
# with an image tower of timm's: what open_clip would not hand on to it
NOT_TIMMS = ("head_width", "mlp_ratio", "no_ln_pre", "norm_kwargs", "act_kwargs")


def check(source: torch_files.Source) -> None:
    """Raises CheckpointError for settings that are not followed, before the tensors are looked at."""
    if CONFIG not in source.side:
        return
    described, vision, text = sections(source)
    problems = settings.differences(CONFIG, source.side[CONFIG], {}, ("model_cfg", "preprocess_cfg"))
    problems += settings.differences("model_cfg", described, MODEL, (*MODEL_FOLLOWED, *MODEL_IGNORED))
    problems += settings.differences("vision_cfg", vision, VISION, (*VISION_FOLLOWED, *VISION_IGNORED))
    problems += settings.differences("text_cfg", text, TEXT, (*TEXT_FOLLOWED, *TEXT_IGNORED))
    for name, part in (("model_cfg", described), ("vision_cfg", vision), ("text_cfg", text)):
        problems += kind_problems(name, part)
    settings.refuse(source, CONFIG, problems)
    problems = trunk_problems(vision) + open_clip_words.problems(text)
    quick = described.get("quick_gelu", False)
    problems += activation_problems("vision_cfg", vision, quick) + activation_problems("text_cfg", text, quick)
    settings.refuse(source, CONFIG, problems)


def sections(source: torch_files.Source) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`model_cfg` and in it `vision_cfg` and `text_cfg`."""
    described = source.side[CONFIG].get("model_cfg")
    if isinstance(described, dict):
        vision, text = (described.get(name, {}) for name in ("vision_cfg", "text_cfg"))
        if isinstance(vision, dict) and isinstance(text, dict):
            return described, vision, text
    raise errors.CheckpointError(f"{source.name}: {CONFIG} is not open_clip's (no model_cfg with sections in it)")


def kind_problems(section: str, part: Mapping[str, Any]) -> list[str]:
    """Values that are not even of the kind that a setting has."""
    problems = []
    for name, value in part.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in NUMBERS and value is not None and not (number and (name == "init_logit_bias" or value > 0)):
            problems.append(f"{section}.{name} is {value!r}: expected a number, above 0 where it is a size")
        if name in NAMES and value is not None and not isinstance(value, str):
            problems.append(f"{section}.{name} is {value!r}: expected a name")
    return problems


def trunk_problems(vision: Mapping[str, Any]) -> list[str]:
    """What of an image tower of timm's is not one that is read."""
    name = vision.get("timm_model_name")
    if name is None:
        return []
    if name not in timm_trunks.TRUNKS:
        known = f"the SigLIP and PE-Core towers of timm with attention pooling: {', '.join(timm_trunks.TRUNKS)}"
        resolution = ", at a fixed resolution alone" if str(name).startswith("naflex") else ""
        return [f"vision_cfg.timm_model_name is {name!r}: only {known}{resolution}"]
    problems = []
    for key, usual, supported in (("timm_pool", "avg", ("map",)), ("timm_proj", "linear", ("none", "", None))):
        value = vision.get(key, usual)  # which is open_clip's where the section does not say it
        if value not in supported:
            problems.append(f"vision_cfg.{key} is {value!r}: only {' or '.join(map(repr, supported))} is supported")
    problems += [
        f"vision_cfg.{key} is {vision[key]!r}, beside timm_model_name, where open_clip does not follow it"
        for key in NOT_TIMMS
        if vision.get(key) is not None
    ]
    return problems


def activation_problems(section: str, part: Mapping[str, Any], quick: bool) -> list[str]:
    """What of a tower's activation is not supported."""
    options = part.get("act_kwargs")
    if options in (None, {}) or (options in ({"approximate": "none"}, {"approximate": "tanh"}) and not quick):
        return []
    beside = ", and none beside quick_gelu" if quick else ""
    return [f"{section}.act_kwargs is {options!r}: only {{'approximate': 'tanh'}} or 'none' is supported{beside}"]
