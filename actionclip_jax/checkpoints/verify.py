"""Proof of a conversion: the same weights in an independent PyTorch model must give the same features.

The towers are transformers' CLIPModel; the temporal heads, which nobody else publishes as a package, are built here
from torch.nn. Weights go from the source file into PyTorch by a way of their own, not through `mapping`; pictures and
texts by transformers' own processor and tokenizer, set up by the files beside the weights.
"""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import torch
import transformers

from actionclip_jax import config, text
from actionclip_jax.checkpoints import convert, formats, locate, model_directory, settings, torch_files
from actionclip_jax.checkpoints import pixels as pixel_settings
from actionclip_jax.data.video import views
from actionclip_jax.models import action_clip, clip

LIMIT = 1e-4  # of the largest error relative to the largest value


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far our array is from PyTorch's."""

    name: str
    absolute: float
    relative: float  # the largest absolute difference over the largest absolute value

    @property
    def fine(self) -> bool:
        """Whether it is small enough; NaN is not."""
        return self.relative <= LIMIT


def compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Largest absolute and relative difference of two arrays of one shape."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{name} have shape {ours.shape}, PyTorch's {theirs.shape}")
    absolute = float(np.abs(ours - theirs).max())
    return Difference(name, absolute, absolute / max(float(np.abs(theirs).max()), np.finfo(np.float32).tiny))


def verify(source_name: str | os.PathLike, directory: str | os.PathLike, activation: str | None) -> list[Difference]:
    """Compares frame, clip and text features and logits of random clips and real texts, in float32.

    Ours come from the model directory as it lies on disk, and are gone from memory before PyTorch's model is built.
    """
    model = model_directory.load_config(directory)
    shape = (2, model.frames, model.image.size + 10, model.image.size + 31, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    prompts = text.fill(["archery", "playing the violin"], text.ACTIONCLIP_TEMPLATES[:4])
    ours = our_features(directory, pictures, prompts)
    source = torch_files.read(source_name)
    theirs = torch_features(source, formats.recognise(source, activation, model.frames), pictures, prompts)
    return [compare(name, ours[name], theirs[name]) for name in theirs]


def our_features(directory: str | os.PathLike, pictures: np.ndarray, prompts: Sequence[str]) -> dict[str, np.ndarray]:
    """uint8 [B, T, H, W, 3] and N texts -> everything that is compared, by this project's model.

    The short side of the pictures becomes the model's size, as CLIP has it; testing with videos keeps some more.
    """
    weights = model_directory.load(directory)
    image = weights.model.image
    model = action_clip.from_params(weights.model, config.ComputeConfig(), weights.params)
    tokens = text.tokenize(weights.tokenizer, prompts, weights.model.text.context)
    transform = views.view_transform(image.size, resize=image.size)
    frames = np.stack([[transform(picture)[0] for picture in clip] for clip in pictures])

    @jax.jit
    def features(model: action_clip.ActionClip) -> dict[str, jax.Array]:
        per_frame = model.encode_frames(frames)
        clips, texts = action_clip.unit_norm(model.encode_clip(per_frame)), model.encode_text(tokens)
        named = {"frame features": per_frame, "clip features": clips, "text features": texts}
        return {"pixels": clip.normalize(frames, image), **named, "logits": model.logits(clips, texts)}

    return {name: np.asarray(array) for name, array in features(model).items()}


@torch.inference_mode()
def torch_features(
    source: torch_files.Source, recognised: formats.Recognised, pictures: np.ndarray, prompts: Sequence[str]
) -> dict[str, np.ndarray]:
    """The same by PyTorch."""
    towers, head = torch_towers(recognised, told_config(source)), TorchHead(recognised)
    processor, tokenizer = image_processor(source, recognised), own_tokenizer(source)
    flat = processor(list(pictures.reshape(-1, *pictures.shape[2:])), return_tensors="pt")["pixel_values"]
    pixels = flat.unflatten(0, pictures.shape[:2])
    per_frame = image_features(towers, recognised, pixels)
    length = towers.config.text_config.max_position_embeddings
    ids = tokenizer(list(prompts), padding="max_length", max_length=length, return_tensors="pt")["input_ids"]
    texts = unit(towers.text_projection(towers.text_model(input_ids=ids).pooler_output))
    clips = unit(head(per_frame))
    logits = towers.logit_scale.exp() * clips @ texts.T
    named = {"frame features": per_frame, "clip features": clips, "text features": texts, "logits": logits}
    return {name: tensor.numpy() for name, tensor in {"pixels": pixels.movedim(2, -1), **named}.items()}


def told_config(source: torch_files.Source) -> transformers.CLIPConfig | None:
    """What transformers makes of the `config.json` beside the weights, if there is one."""
    told = source.side.get(settings.CONFIG)
    return None if told is None else transformers.CLIPConfig.from_dict(told)


def own_tokenizer(source: torch_files.Source) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer beside the weights, as transformers reads it, or CLIP's."""
    beside = source.path.parent
    if source.path.name not in locate.WEIGHT_FILES or not text.has_tokenizer(beside):
        return text.default_tokenizer()
    return transformers.CLIPTokenizer.from_pretrained(beside, local_files_only=True)


def image_processor(source: torch_files.Source, recognised: formats.Recognised) -> Any:
    """transformers' processor of pictures, by the files beside the weights where there are any, else as CLIP has it.

    open_clip's settings are put in transformers' words, so that torchvision is not needed.
    """
    size = recognised.model.image.size
    short = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    followed = [told.file for told in pixel_settings.told_by_files(source, recognised.format, size)][:1]
    if followed == [settings.OPEN_CLIP]:
        told = source.side[settings.OPEN_CLIP]["preprocess_cfg"]
        names = {"image_mean": told.get("mean"), "image_std": told.get("std")}
        return convert.pil_processor()(**short, **{name: value for name, value in names.items() if value is not None})
    if followed:
        return convert.pil_processor().from_pretrained(source.path.parent, local_files_only=True, size=short["size"])
    return convert.pil_processor()(**short)


def unit(x: torch.Tensor) -> torch.Tensor:
    """[..., E] of length 1."""
    return x / x.norm(dim=-1, keepdim=True)


def float_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """float32 tensors by name, on the same memory where they are float32 already."""
    return {name: torch.from_numpy(array.astype(np.float32, copy=False)) for name, array in arrays.items()}


def torch_towers(source: formats.Recognised, told: transformers.CLIPConfig | None = None) -> transformers.CLIPModel:
    """transformers' CLIP with the weights of the source, by `told` or else by what was recognised."""
    described = (
        told if told is not None and source.format == "huggingface" else convert.huggingface_config(source.model)
    )
    with torch.device("meta"):  # no memory for weights that are replaced at once
        towers = transformers.CLIPModel._from_config(described, attn_implementation="eager")
    tensors = {name: array for name, array in source.tensors.items() if not name.startswith(HEAD_PREFIXES)}
    if source.format == "huggingface":
        state = float_tensors(tensors)
    else:
        state = {}
        for name in list(tensors):
            short = name.removeprefix(formats.PLACES[source.format][0]).replace(".net.", ".")
            if short != "visual.time_embedding":
                state |= hugging_names(short, float_tensors({short: tensors[name]})[short])
    towers.load_state_dict(state, strict=True, assign=True)
    for embeddings in (towers.vision_model.embeddings, towers.text_model.embeddings):
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[1])[None]  # a buffer that is not saved
    return towers.eval()


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


def image_features(towers: transformers.CLIPModel, source: formats.Recognised, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised frames [B, T, 3, S, S] -> [B, T, E], with ActionCLIP's Shift or Joint where the model has it."""
    vision, (batch, frames) = towers.vision_model, pixels.shape[:2]
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


class TorchHead(torch.nn.Module):
    """The temporal head of a source checkpoint, from torch.nn."""

    def __init__(self, source: formats.Recognised) -> None:
        super().__init__()
        temporal, width = source.model.temporal, source.model.embed_width
        self.kind, self.eps = temporal.head, temporal.norm_eps
        if self.kind == "Conv_1D":
            self.shift = torch.nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        elif self.kind == "LSTM":
            self.lstm_visual = torch.nn.LSTM(width, width, batch_first=True)
        elif self.kind == "Transf":
            self.frame_position_embeddings = torch.nn.Embedding(temporal.positions, width)
            blocks = [TorchBlock(width, temporal.heads, self.eps) for _ in range(temporal.depth)]
            self.transformer = torch.nn.ModuleDict({"resblocks": torch.nn.Sequential(*blocks)})
        elif self.kind == "Transf_cls":
            layer = torch.nn.TransformerEncoderLayer(width, temporal.heads, batch_first=True)
            encoder = torch.nn.TransformerEncoder(layer, temporal.depth, torch.nn.LayerNorm(width))
            self.transformer = torch.nn.ModuleDict({"transformer_enc": encoder})
            self.transformer.cls_token = torch.nn.Parameter(torch.empty(1, 1, width))
            self.transformer.pos_embed = torch.nn.Parameter(torch.empty(1, temporal.positions + 1, width))
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
            return (x + self.transformer["resblocks"](x + positions)).mean(dim=1)
        if self.kind == "Transf_cls":
            first = self.transformer.cls_token.expand(batch, -1, -1)
            tokens = torch.cat([first, x], dim=1) + self.transformer.pos_embed[:, : frames + 1]
            return self.transformer["transformer_enc"](tokens)[:, 0]
        return x.mean(dim=1)


class TorchBlock(torch.nn.Module):
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
