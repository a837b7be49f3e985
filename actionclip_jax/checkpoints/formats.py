"""Recognises whose checkpoint it is, and what model it holds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import (
    big_vision,
    errors,
    huggingface,
    huggingface_config,
    locate,
    mapping,
    naming,
    open_clip,
    open_clip_sizes,
    perception_encoder,
    pixels,
    shapes,
    siglip,
    tensor_names,
    torch_files,
    unused,
    wrappers,
)

FORMATS = {
    "openai": "OpenAI CLIP",
    "open_clip": "open_clip",
    "huggingface": "Hugging Face",
    "actionclip": "ActionCLIP source",
    "mmaction2": "mmaction2's ActionCLIP",
    "pe": "Perception Encoder (PE-Core)",
    "big_vision": "big_vision",
}
# what stands before the towers' names in a format, and before the head's where it has one; whatever else does is taken
# off
PLACES = {
    "openai": ("", ""),
    "open_clip": ("", ""),
    "huggingface": ("", ""),
    "actionclip": ("model_state_dict/", "fusion_model_state_dict/module."),
    "mmaction2": ("state_dict/clip.", "state_dict/adapter."),
    "pe": ("", ""),
    "big_vision": ("", ""),
}


@dataclasses.dataclass
class Recognised:
    """A checkpoint's format and model, and its tensors split into those the model uses and the rest."""

    format: str  # a key of FORMATS
    model: config.ModelConfig
    rows: list[mapping.Row]
    tensors: dict[str, np.ndarray]
    unused: dict[str, np.ndarray]
    left_out: list[str]  # parts of the file that are not the model: optimiser state, averaged copies and the like
    notes: list[str]  # what was taken for granted, or taken off

    def describe(self) -> str:
        """One line for people."""
        model, temporal = self.model, self.model.temporal
        extra = [name for name in ("shift", "joint") if getattr(model, name)]
        if temporal.head in config.ATTENTION_HEADS:
            extra.append(f"{temporal.depth} layers, {temporal.positions} positions, {temporal.heads} heads")
        if temporal.head == "Transf":
            extra.append(f"norm eps {temporal.norm_eps:g}")
        details = f" ({', '.join(extra)})" if extra else ""
        return (
            f"{FORMATS[self.format]}: {config.size_name(model)} at {model.image.size} px, {model.activation}, "
            f"temporal head {temporal.head}{details}, {model.frames} frames"
        )


def recognise(source: torch_files.Source, activation: str | None = None, frames: int | None = None) -> Recognised:
    """Finds out what a checkpoint is.

    Args:
        source: what was read.
        activation: of models whose files do not say it.
        frames: how many frames a clip has, where the file does not say it (only the mmaction2 port's does).

    Raises:
        CheckpointError: no CLIP, the activation cannot be known, or a setting beside the weights that is not followed.
    """
    flat = wrappers.without_transparent(source.name, dict(torch_files.flatten(source.tree)))
    (huggingface if any(wrappers.ANCHORS[1] in name for name in flat) else open_clip).check(source)
    unwrapped = wrappers.unwrap(source.name, flat)
    others = {wrappers.ANCHORS[1]: "huggingface", wrappers.ANCHORS[3]: "big_vision"}
    kind = others.get(unwrapped.anchor) or openai_kind(source, unwrapped, activation)
    prefix, head_prefix = places = places_of(kind, unwrapped)
    tensors = own_names(source, places, unwrapped)
    names = naming.of(kind, prefix, unwrapped.anchor, tensors)
    model, notes = flavour(source, names, activation, tower_sizes(source, names, tensors), tensors)
    for tower in (model.image, model.text):
        if tower.heads < 1 or tower.width % tower.heads:
            raise errors.CheckpointError(f"{source.name}: cannot know the heads of a tower of width {tower.width}")
    image, pixel_notes = pixels.follow(source, kind, model.image, pixels.of(model.image))
    model = shapes.temporal(dataclasses.replace(model, image=image), tensors, prefix, head_prefix, kind)
    if frames is not None:
        model = dataclasses.replace(model, frames=frames)
    rows = names.rows(model) + tensor_names.temporal_head(model, head_prefix)
    used = {name for row in rows for _, names in row.layers() for name in names}
    # where all names of the model have a prefix, one without it is something else's
    if not prefix and unwrapped.prefix and (strays := sorted(used & unwrapped.tensors.keys())):
        raise errors.CheckpointError(
            f"{source.name}: the model's names begin with {unwrapped.prefix!r}, but not {', '.join(strays[:5])}"
        )
    aside = {name: tensors.pop(name) for name in list(tensors) if name not in used and unused.NAMES.fullmatch(name)}
    unused.check(source.name, model, aside)
    left_out = sorted({*unwrapped.left_out, *torch_files.tensor_lists(source.tree)})
    if unwrapped.prefix not in ("", prefix):
        notes.insert(0, f"its names begin with {unwrapped.prefix!r}, which is taken off")
    notes += notes_on_files(source) + pixel_notes
    return Recognised(kind, config.checked_model(model), rows, tensors, aside, left_out, notes)


def notes_on_files(source: torch_files.Source) -> list[str]:
    """Which files beside the weights are not read."""
    notes = []
    if source.passed_over:
        beside = ", ".join(source.passed_over)
        notes.append(f"{beside} beside it is not read: it belongs to weights named {' or '.join(locate.WEIGHT_FILES)}")
    if source.other_weights:
        notes.append(f"reads {source.path.name}; {', '.join(source.other_weights)} beside it is not read")
    return notes


def openai_kind(source: torch_files.Source, unwrapped: wrappers.Unwrapped, activation: str | None) -> str:
    """Which of the formats with OpenAI's names this is."""
    prefix, tensors = unwrapped.prefix, unwrapped.tensors
    if prefix + perception_encoder.PROBE in tensors:
        return "pe"
    if unwrapped.anchor == wrappers.ANCHORS[2]:
        return "open_clip"
    if fusion_section(source, prefix) is not None:
        return "actionclip"
    outside = prefix.removesuffix("clip.")
    adapter = outside != prefix and any(name.startswith(f"{outside}adapter.") for name in tensors)
    if adapter or (prefix == PLACES["mmaction2"][0] and "meta" in source.tree):  # as MMEngine writes
        return "mmaction2"
    if open_clip.CONFIG in source.side or source.activation == "gelu":
        return "open_clip"
    # OpenAI keeps three scalars beside its bare names; bare float16 may be anybody's
    half = prefix == "" and tensors["visual.conv1.weight"].dtype == np.float16 and activation == "quick_gelu"
    scalars = prefix == "" and "input_resolution" in tensors
    return "openai" if source.activation == "quick_gelu" or scalars or half else "open_clip"


def fusion_section(source: torch_files.Source, prefix: str) -> str | None:
    """Where an ActionCLIP checkpoint has its head, maybe an empty one; None for what is none."""
    outside, is_source, _ = prefix.partition("model_state_dict/")
    section: Any = source.tree
    for name in filter(None, [*outside.split("/"), "fusion_model_state_dict"]):
        section = section.get(name) if isinstance(section, Mapping) else None
    return f"{outside}fusion_model_state_dict/" if is_source and section is not None else None


def places_of(kind: str, unwrapped: wrappers.Unwrapped) -> tuple[str, str]:
    """A format's PLACES; of big_vision's names, which stand in files of two kinds, those that the file has."""
    own = kind == "big_vision" and unwrapped.prefix in big_vision.PREFIXES
    return (unwrapped.prefix, "") if own else PLACES[kind]


def tower_sizes(
    source: torch_files.Source, names: naming.Naming, tensors: Mapping[str, np.ndarray]
) -> config.ModelConfig:
    """The model by the shapes of its tensors."""
    if names.kind == "huggingface":
        return huggingface.towers(source, tensors)
    if names.kind == "big_vision":
        return big_vision.towers(source, tensors)
    image = open_clip_sizes.trunk(source) if names.timm else None
    return shapes.towers(source.name, names.kind, names.sizes(tensors), tensors, image)


def own_names(
    source: torch_files.Source, places_of_kind: tuple[str, str], unwrapped: wrappers.Unwrapped
) -> dict[str, np.ndarray]:
    """The tensors under the names of their format, without what a framework put in front of them."""
    prefix, head_prefix = places_of_kind
    places = {unwrapped.prefix: prefix}
    if head_prefix:
        head = fusion_section(source, unwrapped.prefix) or f"{unwrapped.prefix.removesuffix('clip.')}adapter."
        below = [name for name in unwrapped.tensors if name.startswith(head)]
        while below and all(name.startswith(f"{head}module.") for name in below):
            head += "module."
        places[head] = head_prefix
    renamed = {}
    for name, tensor in unwrapped.tensors.items():
        place = next((place for place in places if name.startswith(place)), None)
        own = name if place is None else places[place] + name.removeprefix(place)
        if own in renamed:
            raise errors.CheckpointError(f"{source.name}: holds {own!r} twice, inside and outside of the model")
        renamed[own] = tensor
    return renamed


def is_of_other_names(source: torch_files.Source) -> bool:
    """Whether transformers' `config.json` stands beside weights in OpenAI's names as if it were theirs."""
    is_theirs = "model_type" in source.side.get(huggingface.CONFIG, {}) and open_clip.CONFIG not in source.side
    return is_theirs and not source.path.name.startswith("open_clip_")  # which share a directory with transformers'


def flavour(
    source: torch_files.Source,
    names: naming.Naming,
    activation: str | None,
    model: config.ModelConfig,
    tensors: Mapping[str, np.ndarray],
) -> tuple[config.ModelConfig, list[str]]:
    """The model with what shapes do not say: heads, activation and norm eps, by the files beside the weights if any.

    Returns:
        The model, and notes on it.
    """
    kind = names.kind
    if kind != "huggingface" and is_of_other_names(source):
        raise errors.CheckpointError(
            f"{source.name}: {huggingface.CONFIG} describes a model by transformers' names, and {source.path.name} has "
            "OpenAI's names, so it is not followed: give the weights in a directory without it, or those that "
            "belong to it"
        )
    model, stated, notes = by_files(source, names, model, tensors, told=activation is not None)
    if activation is not None:
        if stated not in (None, activation):
            notes.append(f"activation {activation}, as it was told; by its format or files it is {stated}")
            model = dataclasses.replace(model, text=dataclasses.replace(model.text, activation="same"))
        stated = activation
    if stated is None:
        raise errors.CheckpointError(
            f"{source.name}: {FORMATS[kind]} weights that do not say their activation. Give the directory that also "
            "holds the model's config file, or say it: --activation quick_gelu for weights that come from OpenAI (and "
            "open_clip models whose name ends in -quickgelu, DFN and MetaCLIP among them), --activation gelu for the "
            "rest of open_clip"
        )
    return dataclasses.replace(model, activation=stated), notes


def by_files(
    source: torch_files.Source,
    names: naming.Naming,
    model: config.ModelConfig,
    tensors: Mapping[str, np.ndarray],
    *,
    told: bool,
) -> tuple[config.ModelConfig, str | None, list[str]]:
    """The model by the files beside the weights, or as all of its format have it; its activation, if known; and notes.

    With `told`, the activation is known anyway.
    """
    kind, configured = names.kind, huggingface.CONFIG in source.side
    if kind == "huggingface":
        model = huggingface_config.follow(source, model) if configured else model
        known = model.activation if configured or siglip.is_one(model) else None
        return model, known, huggingface_config.notes(model, configured)
    if kind == "big_vision":
        return model, model.activation, siglip.notes(model)
    if kind == "open_clip" and open_clip.CONFIG in source.side:
        model = open_clip_sizes.follow(source, model, names.timm, bool(names.apart))
        return model, model.activation, []
    if kind == "open_clip" and names.apart:
        raise errors.CheckpointError(
            f"{source.name}: the text tower's names begin with {names.apart!r}, so it may be any of open_clip's, and "
            f"no {open_clip.CONFIG} beside it says which: give the directory that holds both, with the weights named "
            "as open_clip names them"
        )
    if kind == "pe":
        model = perception_encoder.follow(model, tensors)
        return model, model.activation, [perception_encoder.NOTE]
    if kind == "open_clip":
        return model, source.activation, []
    note = (
        f"activation quick_gelu, as {FORMATS[kind]} has it: the file does not say so (--activation gelu if its CLIP "
        "was another)"
    )
    return model, "quick_gelu", [] if told or source.activation else [note]
