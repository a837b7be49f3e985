"""The sizes of a model, from the names and shapes of its tensors."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors

OPENAI_IMAGE = {
    "patch": "visual.conv1.weight",
    "image_position": "visual.positional_embedding",
    "image_block": r"visual.transformer.resblocks.{}.",
    "image_hidden": "visual.transformer.resblocks.0.mlp.c_fc.weight",
}
OPENAI_TEXT = {
    "projection": "text_projection",
    "token": "token_embedding.weight",
    "text_position": "positional_embedding",
    "text_block": r"transformer.resblocks.{}.",
    "text_hidden": "transformer.resblocks.0.mlp.c_fc.weight",
}
HUGGINGFACE_NAMES = {
    "patch": "vision_model.embeddings.patch_embedding.weight",
    "image_position": "vision_model.embeddings.position_embedding.weight",
    "image_block": r"vision_model.encoder.layers.{}.",
    "image_hidden": "vision_model.encoder.layers.0.mlp.fc1.weight",
    "projection": "text_projection.weight",
    "token": "text_model.embeddings.token_embedding.weight",
    "text_position": "text_model.embeddings.position_embedding.weight",
    "text_block": r"text_model.encoder.layers.{}.",
    "text_hidden": "text_model.encoder.layers.0.mlp.fc1.weight",
}
# open_clip's ViT-H-14, g-14 and bigG-14, also in transformers' format; all other published towers have heads of 64
# channels, and the loaders of OpenAI's names know no others
HEADS_OF_WIDTH = {1280: 16, 1408: 16, 1664: 16}


def openai_names(image: str, text: str) -> dict[str, str]:
    """OpenAI's names that say a size, by their role, with something before those of each tower."""
    names = {role: image + name for role, name in OPENAI_IMAGE.items()}
    return names | {role: text + name for role, name in OPENAI_TEXT.items()}


def towers(
    where: str,
    kind: str,
    names: dict[str, str],
    tensors: Mapping[str, np.ndarray],
    image: config.ImageConfig | None = None,
) -> config.ModelConfig:
    """The towers' sizes. Heads are the usual ones for the width: `flavour` knows better where a config does.

    Args:
        where: the checkpoint, for messages.
        kind: its format.
        names: of the tensors that say a size, by their role.
        tensors: the checkpoint's.
        image: the image tower, where a file beside the weights says all of it.
    """
    if any("visual.attnpool." in name or "visual.layer1." in name for name in tensors):
        raise errors.CheckpointError(f"{where}: a CLIP with a ResNet: only vision transformers are read")
    ranks = {"token": 2, "text_position": 2} | ({} if image else {"patch": 4, "image_position": 2})
    if missing := [names[role] for role in ranks if names[role] not in tensors]:
        raise errors.CheckpointError(f"{where}: not a whole CLIP: {', '.join(missing)} missing")
    check_ranks(where, tensors, {names[role]: rank for role, rank in ranks.items()})
    projection = tensors.get(names["projection"])
    if projection is None or projection.ndim != 2:
        raise errors.CheckpointError(f"{where}: not a whole CLIP: no matrix {names['projection']}")
    return config.ModelConfig(
        image=image or image_tower(kind, names, tensors),
        text=text_tower(names, tensors),
        embed_width=projection.shape[0 if names["projection"].endswith("weight") else 1],
    )


def image_tower(kind: str, names: dict[str, str], tensors: Mapping[str, np.ndarray]) -> config.ImageConfig:
    """The image tower of a CLIP, whose tensors were checked to be there."""
    others = kind in ("open_clip", "huggingface")
    width, _, patch, _ = tensors[names["patch"]].shape
    grid = round((tensors[names["image_position"]].shape[0] - 1) ** 0.5)
    return config.ImageConfig(
        size=grid * patch,
        patch=patch,
        width=width,
        depth=count_layers(tensors, names["image_block"]),
        heads=HEADS_OF_WIDTH[width] if others and width in HEADS_OF_WIDTH else heads_of_64(width),
        mlp_width=hidden_width(tensors.get(names["image_hidden"]), width),
    )


def text_tower(names: dict[str, str], tensors: Mapping[str, np.ndarray]) -> config.TextConfig:
    """The text tower of a CLIP, whose tensors were checked to be there."""
    vocabulary, width = tensors[names["token"]].shape
    return config.TextConfig(
        vocabulary=vocabulary,
        context=tensors[names["text_position"]].shape[0],
        width=width,
        depth=count_layers(tensors, names["text_block"]),
        heads=heads_of_64(width),
        mlp_width=hidden_width(tensors.get(names["text_hidden"]), width),
    )


def hidden_width(kernel: np.ndarray | None, width: int) -> int:
    """Hidden channels by the first [hidden, width] layer of an MLP; 0 means four times the width, as usual."""
    usual = kernel is None or kernel.ndim != 2 or kernel.shape[0] == 4 * width
    return 0 if usual else kernel.shape[0]


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
