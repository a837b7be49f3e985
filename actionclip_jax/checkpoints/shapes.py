"""The sizes of a model, from the names and shapes of its tensors."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors

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
# open_clip's ViT-H-14, g-14 and bigG-14, also in transformers' format; all other published towers have heads of 64
# channels, and the loaders of OpenAI's names know no others
HEADS_OF_WIDTH = {1280: 16, 1408: 16, 1664: 16}


def towers(where: str, kind: str, names: dict[str, str], tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
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


def check_ranks(where: str, tensors: Mapping[str, np.ndarray], ranks: Mapping[str, int]) -> None:
    """Raises CheckpointError unless those of the tensors that are there have as many dimensions, none of them 0."""
    there = {name: tensors[name].shape for name in ranks if name in tensors}
    if wrong := [f"{name} {shape}" for name, shape in there.items() if len(shape) != ranks[name] or 0 in shape]:
        raise errors.CheckpointError(f"{where}: not the shapes of a CLIP with a vision transformer: {', '.join(wrong)}")


def temporal(
    model: config.ModelConfig, tensors: Mapping[str, np.ndarray], prefix: str, head_prefix: str, kind: str
) -> config.ModelConfig:
    """Adds the temporal head, Shift and Joint of an ActionCLIP checkpoint; other formats have none of them."""
    if not head_prefix:
        return model
    ranks = {f"{head_prefix}frame_position_embeddings.weight": 2, f"{head_prefix}transformer.pos_embed": 3}
    check_ranks(prefix, tensors, ranks | {f"{prefix}visual.time_embedding": 2})
    position = tensors.get(f"{head_prefix}frame_position_embeddings.weight")
    rows = 0 if position is None else position.shape[0]
    head = config.TemporalConfig(heads=model.text.width // 64 or 1)
    if f"{head_prefix}shift.weight" in tensors:
        head = dataclasses.replace(head, head="Conv_1D", legacy_layout=True)
    elif f"{head_prefix}lstm_visual.weight_ih_l0" in tensors:
        head = dataclasses.replace(head, head="LSTM")
    elif f"{head_prefix}transformer.pos_embed" in tensors:
        rows = tensors[f"{head_prefix}transformer.pos_embed"].shape[1] - 1
        depth = count_layers(tensors, f"{head_prefix}transformer.transformer_enc.layers.{{}}.")
        head = dataclasses.replace(head, head="Transf_cls", depth=depth, positions=rows, heads=8)
    elif depth := count_layers(tensors, f"{head_prefix}transformer.resblocks.{{}}."):
        eps = 1e-5 if kind == "mmaction2" else 1e-12
        head = dataclasses.replace(head, head="Transf", depth=depth, positions=rows or 77, norm_eps=eps)
    time = tensors.get(f"{prefix}visual.time_embedding")
    frames = model.frames
    if rows and (kind == "mmaction2" or head.head == "Transf_cls"):
        frames = rows  # these keep exactly one position a frame
    return dataclasses.replace(
        model,
        temporal=head,
        frames=frames if time is None else time.shape[0],
        shift=f"{prefix}visual.transformer.resblocks.0.net.ln_1.weight" in tensors,
        joint=time is not None,
    )
