"""Proof of a conversion: the same weights in an independent PyTorch model must give the same features.

Weights go from the source file into PyTorch by a way of their own (`torch_models`), not through `mapping`; pictures and
texts by transformers' own processor and tokenizer, set up by the files beside the weights. What transformers has no
class for is compared with open_clip, which reads its files itself.
"""

import dataclasses
import os
import string
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from actionclip_jax import config, text
from actionclip_jax.checkpoints import (
    formats,
    huggingface,
    huggingface_config,
    locate,
    model_directory,
    open_clip,
    pixels,
    torch_files,
    torch_models,
    torch_open_clip,
)
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
    return Difference(name, absolute, absolute / max(float(np.abs(theirs).max()), float(np.finfo(np.float32).tiny)))


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
    tokens = jnp.asarray(text.tokenize(weights.tokenizer, prompts, weights.model.text))
    transform = views.view_transform(config.sample_for(weights.model), short_side=image.size)
    frames = jnp.asarray(np.stack([[transform(picture)[0] for picture in video] for video in pictures]))

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
    if torch_open_clip.is_needed(source, recognised):
        theirs = torch_open_clip.features(source, recognised, pictures, prompts)
        return {name: tensor.numpy() for name, tensor in theirs.items()}
    towers = torch_models.towers(recognised, described_by(source, recognised.model))
    head = torch_models.TemporalHead(recognised)
    words = recognised.model.text
    processor, tokenizer = image_processor(source, recognised), own_tokenizer(source, words)
    flat = processor(list(pictures.reshape(-1, *pictures.shape[2:])), return_tensors="pt")["pixel_values"]
    frames = flat.unflatten(0, pictures.shape[:2])
    per_frame = torch_models.image_features(towers, recognised, frames)
    given = [prepared(prompt, words.cleaning) for prompt in prompts]
    ids = tokenizer(given, padding="max_length", max_length=words.context, return_tensors="pt")["input_ids"]
    texts, clips = torch_models.unit(torch_models.text_features(towers, ids)), torch_models.unit(head(per_frame))
    logits = torch_models.logits(towers, clips, texts)
    named = {"frame features": per_frame, "clip features": clips, "text features": texts, "logits": logits}
    return {name: tensor.numpy() for name, tensor in {"pixels": frames.movedim(2, -1), **named}.items()}


def described_by(source: torch_files.Source, model: config.ModelConfig) -> transformers.PreTrainedConfig | None:
    """What transformers makes of the `config.json` beside the weights, if there is one."""
    content = source.side.get(huggingface.CONFIG)
    return None if content is None else huggingface_config.configuration(content, huggingface.kind(model))


def own_tokenizer(source: torch_files.Source, words: config.TextConfig) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer beside the weights, as transformers reads it, or CLIP's."""
    beside = source.path.parent
    if not locate.owns_tokenizer(source.path) or not text.has_tokenizer(beside):
        return text.default_tokenizer()
    clips = words.vocabulary == 49408
    reader = transformers.CLIPTokenizer if clips else transformers.PreTrainedTokenizerFast
    return reader.from_pretrained(beside, local_files_only=True)


def prepared(prompt: str, cleaning: str) -> str:
    """A prompt made as its tower was trained to see it: as the files have them, few tokenizers do it themselves."""
    if cleaning == "canonical":
        prompt = prompt.translate(str.maketrans("", "", string.punctuation))
    return prompt if cleaning == "whitespace" else prompt.lower()


def image_processor(source: torch_files.Source, recognised: formats.Recognised) -> "transformers.CLIPImageProcessor":
    """transformers' processor of pictures, by the files beside the weights where there are any, else as CLIP has it.

    open_clip's settings are put in transformers' words, so that torchvision is not needed. A short side becomes as long
    as the model's, as in `our_features`.
    """
    size = recognised.model.image.size
    found = pixels.sections(source, recognised.format)
    if not found:
        return huggingface.image_processor(recognised.model.image)
    file, section = found[0]
    if file == open_clip.CONFIG:
        return huggingface.pil_processor()(**in_transformers_words(section, size))
    named = str(section.get("image_processor_type") or section.get("feature_extractor_type"))
    make = huggingface.pil_processor("Siglip" if named.startswith("Siglip") else "CLIP")
    usual = make.from_pretrained(source.path.parent, local_files_only=True).size
    sizes = {name: size for name, value in dict(usual).items() if value is not None}
    square = {"height": size, "width": size}
    return make.from_pretrained(source.path.parent, local_files_only=True, size=sizes, crop_size=square)


def in_transformers_words(section: Mapping[str, Any], size: int) -> dict[str, Any]:
    """open_clip's settings of pixels as options of transformers' processor."""
    square, squashes = {"height": size, "width": size}, section.get("resize_mode") == "squash"
    constants = {"image_mean": section.get("mean"), "image_std": section.get("std")}
    return {
        "size": square if squashes else {"shortest_edge": size},
        "do_center_crop": not squashes,
        "crop_size": square,
        "resample": huggingface.RESAMPLE[section.get("interpolation") or "bicubic"],
        **{name: value for name, value in constants.items() if value is not None},
    }
