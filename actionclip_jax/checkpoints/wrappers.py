"""What training frameworks put around a model's tensors: found by what the names share, and taken off."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from actionclip_jax.checkpoints import errors

# OpenAI's name, transformers', timm's in open_clip, and big_vision's
ANCHORS = (
    "visual.conv1.weight",
    "vision_model.embeddings.patch_embedding.weight",
    "visual.trunk.patch_embed.proj.weight",
    "img/embedding/kernel",
)
# in the midst of names: torch.compile's, FSDP's, activation checkpointing's and Accelerate's
TRANSPARENT = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")
LORA = re.compile(r"\blora_|\.base_layer\.")
# dictionaries and single values that are not the model
NOT_THE_MODEL = re.compile(
    r"(\w*optimizer|lr_scheduler|scheduler|param_scheduler|\w*scaler|amp|message_hub|meta|loss|exp_avg|momentum)\w*"
    r"|callbacks|loops|hparams|hyper_parameters|rng_state\w*|random_state\w*|epoch|\w*steps?|iter\w*|n_averaged"
    r"|best_(acc|loss|metric|score|top)\w*|opt|chrono"
)
AVERAGED = re.compile(r"(\w*_)?(ema|swa|polyak)(_\w*)?|averaged?_(model|weights)", re.IGNORECASE)  # copies of the model


@dataclasses.dataclass
class Unwrapped:
    """A checkpoint's tensors, and where its one model is among them."""

    tensors: dict[str, np.ndarray]
    prefix: str  # the names of the model's towers begin with it
    anchor: str  # which of ANCHORS stands behind it
    left_out: list[str]  # parts of the file that are not the model


def unwrap(where: str, tensors: Mapping[str, np.ndarray]) -> Unwrapped:
    """Finds the model among a file's tensors, whose names join nested dictionaries by `/`, without transparent parts.

    Where the file also holds an averaged copy of the model, the copy is left out.

    Raises:
        CheckpointError: no CLIP with a vision transformer, or several.
    """
    other = {name: part for name in tensors if (part := find_part(NOT_THE_MODEL, name, "/"))}
    if lora := next((name for name in tensors if name not in other and LORA.search(name)), None):
        raise errors.CheckpointError(
            f"{where}: holds weights of LoRA ({lora}): merge them into the model first (peft: merge_and_unload), and "
            "save that"
        )
    prefixes = find_prefixes([name for name in tensors if name not in other])
    candidates = [prefix for prefix in prefixes if not find_part(AVERAGED, prefix, "./")] or prefixes
    if not candidates:
        known = ", ".join(sorted(tensors.keys() - other.keys())[:5]) or "none at all"
        raise errors.CheckpointError(
            f"{where}: not a CLIP with a vision transformer. Expected tensors like {' or '.join(map(repr, ANCHORS))}, "
            f"found {known}"
        )
    if len(candidates) > 1:
        raise errors.CheckpointError(
            f"{where}: holds {len(candidates)} models, under {', '.join(map(repr, candidates))}: save the one that is "
            "meant in a file of its own"
        )
    prefix = candidates[0]
    section = prefix[: prefix.rfind("/") + 1]
    figures = {name for name, tensor in tensors.items() if is_a_figure(name, tensor, section)}
    other |= {name: name for name in figures - other.keys()}
    copies = {name: find_part(AVERAGED, name.removeprefix(prefix), "./") for name in tensors.keys() - other.keys()}
    other |= {name: part for name, part in copies.items() if part}
    kept = {name: tensor for name, tensor in tensors.items() if name not in other}
    anchors = [anchor for anchor in ANCHORS if prefix + anchor in kept]
    if len(anchors) > 1:
        raise errors.CheckpointError(f"{where}: holds a model by the names {' and '.join(anchors)}: save one of them")
    return Unwrapped(kept, prefix, anchors[0], sorted(set(other.values())))


def is_a_figure(name: str, tensor: np.ndarray, section: str) -> bool:
    """Whether a single value stands outside of the model's section: a score or a learning rate, and no weight."""
    of_the_model = name.startswith(section) or "fusion_model_state_dict/" in name or name.endswith("logit_scale")
    return tensor.size == 1 and not of_the_model


def without_transparent(where: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors without the parts of their names that only say how they were run."""
    renamed = {TRANSPARENT.sub("", name): tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        raise errors.CheckpointError(f"{where}: holds tensors twice, with and without a wrapper such as '_orig_mod.'")
    return renamed


def find_prefixes(names: list[str]) -> list[str]:
    """What stands before the anchors: a prefix for each model."""
    prefixes = {name.removesuffix(anchor) for name in names for anchor in ANCHORS if name.endswith(anchor)}
    return sorted(prefix for prefix in prefixes if not prefix or prefix[-1] in "./")


def find_part(pattern: re.Pattern, name: str, separators: str) -> str | None:
    """The name up to its first part that matches as a whole, if there is one."""
    for part in re.finditer(f"[^{re.escape(separators)}]+", name):
        if pattern.fullmatch(part[0]):
            return name[: part.end()]
    return None
