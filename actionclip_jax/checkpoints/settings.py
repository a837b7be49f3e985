"""What the files beside the weights say of a model: read, known to change nothing, or refused by name."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import transformers
from huggingface_hub import errors as hub

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, torch_files

CONFIG, OPEN_CLIP = "config.json", "open_clip_config.json"

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


def check_kind(source: torch_files.Source, hugging: bool) -> None:
    """Raises CheckpointError for settings of something other than CLIP, before the tensors are looked at."""
    if hugging and CONFIG in source.side:
        kind = source.side[CONFIG].get("model_type", "clip")
        if kind != "clip":
            raise errors.CheckpointError(f"{source.name}: {CONFIG} says model_type {kind!r}: only 'clip' is read")
        for tower in ("vision_config", "text_config"):
            part = source.side[CONFIG].get(tower)
            kind = part.get("model_type", "clip") if isinstance(part, dict) else "clip"
            if not str(kind).startswith("clip"):
                raise errors.CheckpointError(f"{source.name}: {CONFIG} says {tower}.model_type {kind!r}: not CLIP's")
        if "auto_map" in source.side[CONFIG]:
            raise errors.CheckpointError(f"{source.name}: {CONFIG} asks for code of its own (auto_map): never run here")
    if not hugging and OPEN_CLIP in source.side:
        told, vision, text = open_clip_parts(source)
        found = differences(OPEN_CLIP, source.side[OPEN_CLIP], {}, ("model_cfg", "preprocess_cfg"))
        found += differences(
            "model_cfg", told, MODEL, ("quick_gelu", "embed_dim", "vision_cfg", "text_cfg", *MODEL_IGNORED)
        )
        sizes = ("layers", "width", "norm_kwargs")
        found += differences("vision_cfg", vision, VISION, (*sizes, *VISION_SIZES, "head_width", *VISION_IGNORED))
        found += differences("text_cfg", text, TEXT, (*sizes, *TEXT_SIZES, "heads", *TEXT_IGNORED))
        refuse(source, OPEN_CLIP, found)


def is_of_other_names(source: torch_files.Source) -> bool:
    """Whether transformers' `config.json` stands beside weights in OpenAI's names as if it were theirs."""
    is_theirs = "model_type" in source.side.get(CONFIG, {}) and OPEN_CLIP not in source.side
    return is_theirs and not source.path.name.startswith("open_clip_")  # which share a directory with transformers'


VISION_SIZES = ("layers", "width", "patch_size", "image_size")
TEXT_SIZES = ("layers", "width", "context_length", "vocab_size")


def refuse(source: torch_files.Source, file: str, found: Sequence[str]) -> None:
    """Raises CheckpointError if anything was found."""
    if found:
        raise errors.CheckpointError("\n  ".join([f"{source.name}: {file} describes another model:", *found]))


def differences(section: str, told: Mapping[str, Any], wanted: Mapping[str, Any], others: Collection[str]) -> list[str]:
    """What of a section is not as wanted, or not known at all; `others` may have any value. None means not said."""
    found = []
    for name, value in told.items():
        if name in others or value is None:
            continue
        if name not in wanted:
            found.append(f"{section}.{name} is {value!r}, a setting that this program does not know")
        elif one_number(value) != wanted[name]:
            found.append(f"{section}.{name} is {value!r}: only {wanted[name]!r} is supported")
    return found


def one_number(value: Any) -> Any:
    """A list of equal entries as the entry: sizes are written both ways."""
    if isinstance(value, list | tuple) and value and all(part == value[0] for part in value):
        return value[0]
    return value


def size_differences(told: Mapping[str, Any], sizes: Mapping[str, Any]) -> list[str]:
    """`told` sizes that the weights do not have; those that are not told are not compared."""
    return [
        f"{name} is {told[name]!r}, the weights have {size}"
        for name, size in sizes.items()
        if told.get(name) is not None and one_number(told[name]) != size
    ]


def open_clip_parts(source: torch_files.Source) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`model_cfg` and in it `vision_cfg` and `text_cfg`."""
    told = source.side[OPEN_CLIP].get("model_cfg")
    parts = [told, *(told.get(name, {}) for name in ("vision_cfg", "text_cfg"))] if isinstance(told, dict) else [told]
    if not all(isinstance(part, dict) for part in parts):
        raise errors.CheckpointError(
            f"{source.name}: {OPEN_CLIP} is not open_clip's (no model_cfg with sections in it)"
        )
    return parts[0], parts[1], parts[2]


def told_by_open_clip(source: torch_files.Source, model: config.ModelConfig) -> dict[str, Any]:
    """Activation, eps and heads by `open_clip_config.json`, whose sizes must be those of the weights."""
    told, vision, text = open_clip_parts(source)
    image, words = model.image, model.text
    vision_sizes = dict(zip(VISION_SIZES, (image.depth, image.width, image.patch, image.size), strict=True))
    text_sizes = dict(zip(TEXT_SIZES, (words.depth, words.width, words.context, words.vocabulary), strict=True))
    found = [f"model_cfg.{line}" for line in size_differences(told, {"embed_dim": model.embed_width})]
    found += [f"vision_cfg.{line}" for line in size_differences(vision, vision_sizes)]
    found += [f"text_cfg.{line}" for line in size_differences(text, text_sizes)]
    eps = {name: norm_eps(part) for name, part in (("vision_cfg", vision), ("text_cfg", text))}
    if None in eps.values() or len(set(eps.values())) > 1:
        found += [
            f"{name}.norm_kwargs is {part.get('norm_kwargs')!r}: expected nothing but one eps for both towers"
            for name, part in (("vision_cfg", vision), ("text_cfg", text))
        ]
    refuse(source, OPEN_CLIP, found)
    # a section that gives its width and not its heads has open_clip's defaults
    head_width = vision.get("head_width", 64 if "width" in vision else image.width // max(image.heads, 1))
    try:
        return {
            "activation": "quick_gelu" if told.get("quick_gelu", False) else "gelu",
            "norm_eps": eps["vision_cfg"],
            "image": dataclasses.replace(image, heads=image.width // int(head_width)),
            "text": dataclasses.replace(words, heads=int(text.get("heads", 8 if "width" in text else words.heads))),
        }
    except (TypeError, ValueError, ArithmeticError) as error:
        raise errors.CheckpointError(f"{source.name}: {OPEN_CLIP} is not open_clip's ({error!r})") from None


def norm_eps(section: Mapping[str, Any]) -> float | None:
    """The eps of a tower's LayerNorms; None where the section says more of them."""
    told = section.get("norm_kwargs") or {}
    if not isinstance(told, dict) or not isinstance(told.get("eps", 1e-5), float) or told.keys() - {"eps"}:
        return None
    return told.get("eps", 1e-5)


def told_by_huggingface(source: torch_files.Source, model: config.ModelConfig) -> dict[str, Any]:
    """Activation, eps and heads by transformers' `config.json`, whose sizes must be those of the weights."""
    try:
        told = transformers.CLIPConfig.from_dict(source.side[CONFIG])
        vision, text = told.vision_config, told.text_config
        found = {
            "activation": vision.hidden_act,
            "norm_eps": float(vision.layer_norm_eps),
            "image": dataclasses.replace(model.image, heads=int(vision.num_attention_heads)),
            "text": dataclasses.replace(model.text, heads=int(text.num_attention_heads)),
        }
        wrong = huggingface_differences(told, model)
    except (TypeError, ValueError, AttributeError, hub.StrictDataclassError) as error:
        raise errors.CheckpointError(f"{source.name}: {CONFIG} is not that of a CLIP ({error})") from None
    refuse(source, CONFIG, wrong)
    return found


def huggingface_differences(told: transformers.CLIPConfig, model: config.ModelConfig) -> list[str]:
    """What transformers would compute otherwise than this project, or could not load into the weights' shapes."""
    image, words, vision, text = model.image, model.text, told.vision_config, told.text_config

    def shared(tower: config.ImageConfig | config.TextConfig) -> dict[str, int]:
        return {"hidden_size": tower.width, "intermediate_size": 4 * tower.width, "num_hidden_layers": tower.depth}

    image_sizes = shared(image) | {"image_size": image.size, "patch_size": image.patch, "num_channels": 3}
    text_sizes = shared(words) | {"vocab_size": words.vocabulary, "max_position_embeddings": words.context}
    found = size_differences(told.to_dict(), {"projection_dim": model.embed_width})
    found += [f"vision_config.{line}" for line in size_differences(vision.to_dict(), image_sizes)]
    found += [f"text_config.{line}" for line in size_differences(text.to_dict(), text_sizes)]
    for name, part in (("vision_config", vision), ("text_config", text)):
        if part.hidden_act not in config.ACTIVATIONS:
            known = " or ".join(config.ACTIVATIONS)
            found.append(f"{name}.hidden_act is {part.hidden_act!r}: only {known} is supported")
    for name in ("hidden_act", "layer_norm_eps"):
        if getattr(vision, name) != getattr(text, name):
            found.append(f"the towers differ in {name}: {getattr(vision, name)!r} and {getattr(text, name)!r}")
    end = words.vocabulary - 1
    if text.eos_token_id not in (2, end):  # 2 is what old files have: it means the largest id
        found.append(f"text_config.eos_token_id is {text.eos_token_id!r}: only the largest id, {end}, is supported")
    return found
