"""PyTorch models with the weights of a source checkpoint, which owe nothing to this project's models or mapping.

The towers are transformers' CLIPModel, MetaClip2Model or SiglipModel; the temporal heads, which nobody else publishes
as a package, are built here from torch.nn.
"""

import contextlib
import functools
import re
from collections.abc import Mapping

import numpy as np
import torch
import transformers

from actionclip_jax import config
from actionclip_jax.checkpoints import formats, huggingface, torch_big_vision

MODELS = {
    "clip": transformers.CLIPModel,
    "metaclip_2": transformers.MetaClip2Model,
    "siglip": transformers.SiglipModel,
}
Towers = transformers.CLIPModel | transformers.MetaClip2Model | transformers.SiglipModel
HEAD_PREFIXES = tuple(head for _, head in formats.PLACES.values() if head)
RENAMED = (  # OpenAI's name -> transformers', applied in order
    (r"^visual\.conv1", "vision_model.embeddings.patch_embedding"),
    (r"^visual\.class_embedding", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre", "vision_model.pre_layrnorm"),
    (r"^visual\.ln_post", "vision_model.post_layernorm"),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.transformer\.resblocks", "vision_model.encoder.layers"),
    (r"^transformer\.resblocks", "text_model.encoder.layers"),
    (r"^token_embedding", "text_model.embeddings.token_embedding"),
    (r"^positional_embedding", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final", "text_model.final_layer_norm"),
    (r"^text_projection", "text_projection.weight"),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.attn\.", ".self_attn."),
    (r"\.c_fc\.", ".fc1."),
    (r"\.c_proj\.", ".fc2."),
)


def towers(source: formats.Recognised, stated: transformers.PreTrainedConfig | None = None) -> Towers:
    """transformers' model with the weights of the source, by its own configuration or else by what was recognised."""
    own = stated if source.format == "huggingface" else None
    described = huggingface.describe(source.model) if own is None else own
    with torch.device("meta"):  # no memory for weights that are replaced at once
        model = MODELS[described.model_type]._from_config(described, attn_implementation="eager")
    tensors = {name: array for name, array in source.tensors.items() if not name.startswith(HEAD_PREFIXES)}
    if source.format == "huggingface":
        state = float_tensors(tensors)
    elif source.format == "big_vision":
        state = float_tensors(torch_big_vision.renamed(tensors))
    else:
        state = {}
        for name in list(tensors):
            short = name.removeprefix(formats.PLACES[source.format][0]).replace(".net.", ".")
            if short != "visual.time_embedding":
                state |= hugging_names(short, float_tensors({short: tensors[name]})[short])
    model.load_state_dict(state, strict=True, assign=True)
    for embeddings in (model.vision_model.embeddings, model.text_model.embeddings):
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[1])[None]  # a buffer that is not saved
    return model.eval()


def hugging_names(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """A tensor under transformers' name: projections transposed, q, k and v apart."""
    if name in ("visual.proj", "text_projection"):
        tensor = tensor.T
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    if "in_proj_" not in name:
        return {name: tensor}
    parts = tensor.chunk(3)
    return {name.replace("in_proj_", f"{letter}_proj."): part for letter, part in zip("qkv", parts, strict=True)}


def float_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """float32 tensors by name, on the same memory where they are float32 already."""
    return {name: torch.from_numpy(array.astype(np.float32, copy=False)) for name, array in arrays.items()}


def unit(x: torch.Tensor) -> torch.Tensor:
    """[..., E] of length 1."""
    return x / x.norm(dim=-1, keepdim=True)


def text_features(towers: Towers, ids: torch.Tensor) -> torch.Tensor:
    """Token ids [N, L] -> [N, E], with the padding where the model sees it."""
    pooled = towers.text_model(input_ids=ids).pooler_output
    return pooled if isinstance(towers, transformers.SiglipModel) else towers.text_projection(pooled)


def logits(towers: Towers, clips: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Unit-norm [B, E] and [N, E] -> [B, N]."""
    scaled = towers.logit_scale.exp() * clips @ texts.T
    return scaled + towers.logit_bias if isinstance(towers, transformers.SiglipModel) else scaled


def image_features(towers: Towers, source: formats.Recognised, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised frames [B, T, 3, S, S] -> [B, T, E], with ActionCLIP's Shift or Joint where the model has it."""
    vision, (batch, frames) = towers.vision_model, pixels.shape[:2]
    if isinstance(towers, transformers.SiglipModel):
        return vision(pixels.flatten(0, 1)).pooler_output.unflatten(0, (batch, frames))
    tokens = vision.embeddings(pixels.flatten(0, 1))
    if source.model.joint:
        name = next(name for name in source.tensors if name.endswith("visual.time_embedding"))
        times = float_tensors({name: source.tensors[name]})[name]
        patches = tokens[:, 1:].unflatten(0, (batch, frames)) + times[:, None]
        tokens = torch.cat([tokens[::frames, :1], patches.flatten(1, 2)], dim=1)
    with contextlib.ExitStack() as hooks:
        for layer in vision.encoder.layers if source.model.shift else ():
            hook = functools.partial(shift_input, frames=frames)
            hooks.callback(layer.register_forward_pre_hook(hook).remove)
        hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(tokens)).last_hidden_state
    return towers.visual_projection(vision.post_layernorm(hidden[:, 0])).unflatten(0, (batch, -1))


def shift_input(layer: torch.nn.Module, inputs: tuple, frames: int) -> tuple:
    """TSM before a block: a first eighth of the patches' channels from the next frame, a second from the previous."""
    tokens, *rest = inputs
    patches = tokens[:, 1:].unflatten(0, (-1, frames))
    shifted, fold = torch.zeros_like(patches), tokens.shape[-1] // 8
    shifted[:, :-1, :, :fold] = patches[:, 1:, :, :fold]
    shifted[:, 1:, :, fold : 2 * fold] = patches[:, :-1, :, fold : 2 * fold]
    shifted[:, :, :, 2 * fold :] = patches[:, :, :, 2 * fold :]
    return torch.cat([tokens[:, :1], shifted.flatten(0, 1)], dim=1), *rest


class TemporalHead(torch.nn.Module):
    """The temporal head of a source checkpoint, from torch.nn."""

    def __init__(self, source: formats.Recognised) -> None:
        super().__init__()
        temporal, width = source.model.temporal, source.model.embed_width
        self.kind = temporal.head
        if self.kind == "Conv_1D":
            self.shift = torch.nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        elif self.kind == "LSTM":
            self.lstm_visual = torch.nn.LSTM(width, width, batch_first=True)
        elif self.kind == "Transf":
            self.frame_position_embeddings = torch.nn.Embedding(temporal.positions, width)
            self.transformer = PreNormTransformer(width, temporal)
        elif self.kind == "Transf_cls":
            self.transformer = ClassTokenEncoder(width, temporal)
        prefix = formats.PLACES[source.format][1]
        head = {name: array for name, array in source.tensors.items() if prefix and name.startswith(prefix)}
        self.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in float_tensors(head).items()})
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, E] -> [B, E]."""
        batch, frames, width = x.shape
        if self.kind == "Conv_1D":  # with the source's view instead of a transpose
            return (x + self.shift(x.reshape(batch, width, frames)).transpose(1, 2)).mean(dim=1)
        if self.kind == "LSTM":
            return (x + self.lstm_visual(x)[0]).mean(dim=1)
        if self.kind == "Transf":
            positions = self.frame_position_embeddings.weight[:frames]
            return (x + self.transformer(x + positions)).mean(dim=1)
        return self.transformer(x) if self.kind == "Transf_cls" else x.mean(dim=1)


class ClassTokenEncoder(torch.nn.Module):
    """The Transf_cls head."""

    def __init__(self, width: int, temporal: config.TemporalConfig) -> None:
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(width, temporal.heads, batch_first=True)
        self.transformer_enc = torch.nn.TransformerEncoder(layer, temporal.depth, torch.nn.LayerNorm(width))
        self.cls_token = torch.nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = torch.nn.Parameter(torch.empty(1, temporal.positions + 1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, E] -> [B, E]."""
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        return self.transformer_enc(tokens + self.pos_embed[:, : tokens.shape[1]])[:, 0]


class PreNormTransformer(torch.nn.Module):
    """The blocks of the Transf head."""

    def __init__(self, width: int, temporal: config.TemporalConfig) -> None:
        super().__init__()
        blocks = [PreNormBlock(width, temporal.heads, temporal.norm_eps) for _ in range(temporal.depth)]
        self.resblocks = torch.nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, E] -> [B, T, E]."""
        return self.resblocks(x)


class PreNormBlock(torch.nn.Module):
    """One pre-norm block of the Transf head."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.attn = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = torch.nn.LayerNorm(width, eps=eps)
        self.ln_2 = torch.nn.LayerNorm(width, eps=eps)
        self.mlp = torch.nn.ModuleDict(
            {"c_fc": torch.nn.Linear(width, 4 * width), "c_proj": torch.nn.Linear(4 * width, width)}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, E] -> [B, T, E]."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        hidden = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](hidden * torch.sigmoid(1.702 * hidden))
