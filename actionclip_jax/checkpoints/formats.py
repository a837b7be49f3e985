"""Recognises whose checkpoint it is, and what model it holds, from names and shapes."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, locate, mapping, pixels, settings, torch_files, unused, wrappers


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
        if temporal.head in ("Transf", "Transf_cls"):
            extra.append(f"{temporal.depth} layers, {temporal.positions} positions, {temporal.heads} heads")
        if temporal.head == "Transf":
            extra.append(f"norm eps {temporal.norm_eps:g}")
        details = f" ({', '.join(extra)})" if extra else ""
        return (
            f"{FORMATS[self.format]}: {config.size_name(model)} at {model.image.size} px, {model.activation}, "
            f"temporal head {temporal.head}{details}, {model.frames} frames"
        )


FORMATS = {
    "openai": "OpenAI CLIP",
    "open_clip": "open_clip",
    "huggingface": "Hugging Face CLIP",
    "actionclip": "ActionCLIP source",
    "mmaction2": "mmaction2's ActionCLIP",
}


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
    settings.check_kind(source, any(wrappers.ANCHORS[1] in name for name in flat))
    unwrapped = wrappers.unwrap(source.name, flat)
    hugging = unwrapped.anchor == wrappers.ANCHORS[1]
    kind = "huggingface" if hugging else openai_kind(source, unwrapped, activation)
    prefix, head_prefix = PLACES[kind]
    tensors = own_names(source, kind, unwrapped)
    names = HUGGINGFACE_NAMES if hugging else OPENAI_NAMES
    model = towers_from_shapes(source.name, kind, {role: prefix + name for role, name in names.items()}, tensors)
    told, notes = flavour(source, kind, activation, model)
    model = dataclasses.replace(model, **told)
    for tower in (model.image, model.text):
        if tower.heads < 1 or tower.width % tower.heads:
            raise errors.CheckpointError(f"{source.name}: cannot know the heads of a tower of width {tower.width}")
    read, said = pixels.read(source, kind, model.image.size)
    model = dataclasses.replace(model, image=dataclasses.replace(model.image, **read))
    model = temporal_from_shapes(model, tensors, prefix, head_prefix, kind)
    if frames is not None:
        model = dataclasses.replace(model, frames=frames)
    towers = mapping.huggingface_towers(model) if hugging else mapping.openai_towers(model, prefix)
    rows = towers + mapping.temporal_head(model, head_prefix or "")
    used = {name for row in rows for _, names in row.layers() for name in names}
    # where all names of the model have a prefix, one without it is something else's
    if not prefix and unwrapped.prefix and (strays := sorted(used & unwrapped.tensors.keys())):
        raise errors.CheckpointError(
            f"{source.name}: the model's names begin with {unwrapped.prefix!r}, but not {', '.join(strays[:5])}"
        )
    aside = {name: tensors.pop(name) for name in list(tensors) if name not in used and unused.NAMES.fullmatch(name)}
    unused.check(source.name, model, aside)
    left_out = sorted({*unwrapped.left_out, *torch_files.tensor_lists(source.tree)})
    if source.passed_over:
        beside = ", ".join(source.passed_over)
        notes.append(f"{beside} beside it is not read: it belongs to weights named {' or '.join(locate.WEIGHT_FILES)}")
    if source.other_weights:
        notes.append(f"reads {source.path.name}; {', '.join(source.other_weights)} beside it is not read")
    if unwrapped.prefix not in ("", prefix):
        notes.insert(0, f"its names begin with {unwrapped.prefix!r}, which is taken off")
    return Recognised(kind, config.checked_model(model), rows, tensors, aside, left_out, notes + said)


# what stands before the towers' names and the head's in a format; whatever else does is taken off
PLACES = {
    "openai": ("", None),
    "open_clip": ("", None),
    "huggingface": ("", None),
    "actionclip": ("model_state_dict/", "fusion_model_state_dict/module."),
    "mmaction2": ("state_dict/clip.", "state_dict/adapter."),
}


def openai_kind(source: torch_files.Source, unwrapped: wrappers.Unwrapped, activation: str | None) -> str:
    """Which of the formats with OpenAI's names this is."""
    prefix, tensors = unwrapped.prefix, unwrapped.tensors
    if fusion_section(source, prefix) is not None:
        return "actionclip"
    outside = prefix.removesuffix("clip.")
    adapter = outside != prefix and any(name.startswith(f"{outside}adapter.") for name in tensors)
    if adapter or (prefix == PLACES["mmaction2"][0] and "meta" in source.tree):  # as MMEngine writes
        return "mmaction2"
    if settings.OPEN_CLIP in source.side or source.activation == "gelu":
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


def own_names(source: torch_files.Source, kind: str, unwrapped: wrappers.Unwrapped) -> dict[str, np.ndarray]:
    """The tensors under the names of their format, without what a framework put in front of them."""
    prefix, head_prefix = PLACES[kind]
    places = {unwrapped.prefix: prefix}
    if head_prefix is not None:
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


OPENAI_NAMES = {
    "patch": "visual.conv1.weight",
    "image_position": "visual.positional_embedding",
    "image_block": r"visual.transformer.resblocks.{}.",
    "projection": "text_projection",
    "token": "token_embedding.weight",
    "text_position": "positional_embedding",
    "text_block": r"transformer.resblocks.{}.",
}
HUGGINGFACE_NAMES = {
    "patch": "vision_model.embeddings.patch_embedding.weight",
    "image_position": "vision_model.embeddings.position_embedding.weight",
    "image_block": r"vision_model.encoder.layers.{}.",
    "projection": "text_projection.weight",
    "token": "text_model.embeddings.token_embedding.weight",
    "text_position": "text_model.embeddings.position_embedding.weight",
    "text_block": r"text_model.encoder.layers.{}.",
}


def count_layers(tensors: Mapping[str, np.ndarray], block: str) -> int:
    """How many blocks there are, where `{}` in the name counts them."""
    pattern = re.compile(re.escape(block).replace(r"\{\}", r"(\d{1,9})\b"))
    count = 1 + max((int(match[1]) for match in map(pattern.match, tensors) if match), default=-1)
    if count > len(tensors):
        raise errors.CheckpointError(
            f"{block.format(count - 1)}*: a layer {count - 1}, and only {len(tensors)} tensors"
        )
    return count


def heads_of_64(width: int) -> int:
    """The number of heads of 64 channels; 0 if they do not fill the width."""
    return 0 if width % 64 else width // 64


# open_clip's ViT-H-14, g-14 and bigG-14, also in transformers' format; all other published towers have heads of 64
# channels, and the loaders of OpenAI's names know no others
HEADS_OF_WIDTH = {1280: 16, 1408: 16, 1664: 16}


def towers_from_shapes(
    where: str, kind: str, names: dict[str, str], tensors: Mapping[str, np.ndarray]
) -> config.ModelConfig:
    """The towers' sizes. Heads are the usual ones for the width: `flavour` knows better where a config does."""
    if any("visual.attnpool." in name or "visual.layer1." in name for name in tensors):
        raise errors.CheckpointError(f"{where}: a CLIP with a ResNet: only vision transformers are read")
    wanted = [names[role] for role in ("patch", "image_position", "token", "text_position")]
    if missing := [name for name in wanted if name not in tensors]:
        raise errors.CheckpointError(f"{where}: not a whole CLIP: {', '.join(missing)} missing")
    ranks = {"patch": 4, "image_position": 2, "token": 2, "text_position": 2}
    check_ranks(where, tensors, {names[role]: rank for role, rank in ranks.items()})
    others = kind in ("open_clip", "huggingface")
    width, _, patch, _ = tensors[names["patch"]].shape
    grid = round((tensors[names["image_position"]].shape[0] - 1) ** 0.5)
    vocabulary, text_width = tensors[names["token"]].shape
    projection = tensors.get(names["projection"])
    if projection is None or projection.ndim != 2:
        raise errors.CheckpointError(f"{where}: not a whole CLIP: no matrix {names['projection']}")
    return config.ModelConfig(
        image=config.ImageConfig(
            size=grid * patch,
            patch=patch,
            width=width,
            depth=count_layers(tensors, names["image_block"]),
            heads=HEADS_OF_WIDTH[width] if others and width in HEADS_OF_WIDTH else heads_of_64(width),
        ),
        text=config.TextConfig(
            vocabulary=vocabulary,
            context=tensors[names["text_position"]].shape[0],
            width=text_width,
            depth=count_layers(tensors, names["text_block"]),
            heads=heads_of_64(text_width),
        ),
        embed_width=projection.shape[0 if names["projection"].endswith("weight") else 1],
    )


def check_ranks(where: str, tensors: Mapping[str, np.ndarray], ranks: Mapping[str, int]) -> None:
    """Raises CheckpointError unless those of the tensors that are there have as many dimensions, none of them 0."""
    there = {name: tensors[name].shape for name in ranks if name in tensors}
    if wrong := [f"{name} {shape}" for name, shape in there.items() if len(shape) != ranks[name] or 0 in shape]:
        raise errors.CheckpointError(f"{where}: not the shapes of a CLIP with a vision transformer: {', '.join(wrong)}")


def flavour(
    source: torch_files.Source, kind: str, activation: str | None, model: config.ModelConfig
) -> tuple[dict[str, Any], list[str]]:
    """What shapes do not tell: heads, activation and norm eps, from the files beside the weights if there are any.

    Returns:
        Fields of the model, and what has to be said of them.
    """
    told: dict[str, Any] = {"activation": source.activation}
    if kind != "huggingface" and settings.is_of_other_names(source):
        raise errors.CheckpointError(
            f"{source.name}: {settings.CONFIG} describes a model by transformers' names, and {source.path.name} has "
            "OpenAI's names, so it is not followed: give the weights in a directory without it, or those that "
            "belong to it"
        )
    notes = []
    if kind == "huggingface" and settings.CONFIG in source.side:
        told = settings.told_by_huggingface(source, model)
    elif kind == "open_clip" and settings.OPEN_CLIP in source.side:
        told = settings.told_by_open_clip(source, model)
    elif kind in ("openai", "actionclip", "mmaction2"):
        told = {"activation": "quick_gelu"}
        if activation is None and source.activation is None:
            notes.append(
                f"activation quick_gelu, as {FORMATS[kind]} has it: the file does not say so (--activation gelu if "
                "its CLIP was another)"
            )
    if activation is not None:
        if told["activation"] not in (None, activation):
            notes.append(f"activation {activation}, as it was told; by its format or files it is {told['activation']}")
        told["activation"] = activation
    if told["activation"] is None:
        raise errors.CheckpointError(
            f"{source.name}: {FORMATS[kind]} weights that do not say their activation. Give the directory that also "
            "holds the model's config file, or say it: --activation quick_gelu for weights that come from OpenAI (and "
            "open_clip models whose name ends in -quickgelu), --activation gelu for the rest of open_clip"
        )
    return told, notes


def temporal_from_shapes(
    model: config.ModelConfig, tensors: Mapping[str, np.ndarray], prefix: str, head_prefix: str | None, kind: str
) -> config.ModelConfig:
    """Adds the temporal head, Shift and Joint of an ActionCLIP checkpoint; other formats have none of them."""
    if head_prefix is None:
        return model
    ranks = {f"{head_prefix}frame_position_embeddings.weight": 2, f"{head_prefix}transformer.pos_embed": 3}
    check_ranks(prefix, tensors, ranks | {f"{prefix}visual.time_embedding": 2})
    position = tensors.get(f"{head_prefix}frame_position_embeddings.weight")
    rows = 0 if position is None else position.shape[0]
    temporal = config.TemporalConfig(heads=model.text.width // 64 or 1)
    if f"{head_prefix}shift.weight" in tensors:
        temporal = dataclasses.replace(temporal, head="Conv_1D", legacy_layout=True)
    elif f"{head_prefix}lstm_visual.weight_ih_l0" in tensors:
        temporal = dataclasses.replace(temporal, head="LSTM")
    elif f"{head_prefix}transformer.pos_embed" in tensors:
        rows = tensors[f"{head_prefix}transformer.pos_embed"].shape[1] - 1
        depth = count_layers(tensors, f"{head_prefix}transformer.transformer_enc.layers.{{}}.")
        temporal = dataclasses.replace(temporal, head="Transf_cls", depth=depth, positions=rows, heads=8)
    elif depth := count_layers(tensors, f"{head_prefix}transformer.resblocks.{{}}."):
        eps = 1e-5 if kind == "mmaction2" else 1e-12
        temporal = dataclasses.replace(temporal, head="Transf", depth=depth, positions=rows or 77, norm_eps=eps)
    time = tensors.get(f"{prefix}visual.time_embedding")
    frames = model.frames
    if rows and (kind == "mmaction2" or temporal.head == "Transf_cls"):
        frames = rows  # these keep exactly one position a frame
    return dataclasses.replace(
        model,
        temporal=temporal,
        frames=frames if time is None else time.shape[0],
        shift=f"{prefix}visual.transformer.resblocks.0.net.ln_1.weight" in tensors,
        joint=time is not None,
    )
