"""The published sizes of CLIP."""

import dataclasses
from typing import Any

from actionclip_jax.config import checks
from actionclip_jax.config import model as model_config
from actionclip_jax.config.model import ImageConfig, ModelConfig, TemporalConfig, TextConfig

CLIP_SIZES = {
    "ViT-B/32": ModelConfig(image=ImageConfig(patch=32)),
    "ViT-B/16": ModelConfig(),
    "ViT-L/14": ModelConfig(
        image=ImageConfig(patch=14, width=1024, depth=24, heads=16),
        text=TextConfig(width=768, heads=12),
        embed_width=768,
    ),
    "ViT-L/14@336": ModelConfig(
        image=ImageConfig(size=336, patch=14, width=1024, depth=24, heads=16),
        text=TextConfig(width=768, heads=12),
        embed_width=768,
    ),
}


def clip_model(size: str, head: model_config.Head | str = "meanP", **changes: Any) -> ModelConfig:
    """The model of a published CLIP size (a key of CLIP_SIZES) with a temporal head; `changes` replace other fields."""
    if size not in CLIP_SIZES:
        raise checks.ConfigError([f"model size {size!r}: expected one of {', '.join(CLIP_SIZES)}"])
    base = CLIP_SIZES[size]
    return model_config.checked_model(dataclasses.replace(base, **{"temporal": new_head(head, base.text), **changes}))


def new_head(head: model_config.Head | str, text: TextConfig) -> TemporalConfig:
    """A temporal head as the source builds it for a CLIP with that text tower."""
    return TemporalConfig(head=head, heads=8 if head == "Transf_cls" else text.heads)


def size_name(model: ModelConfig) -> str:
    """The published name of the model's towers, or a description of their shapes."""
    usual, text = ImageConfig(), model.text
    pixels = {"resize": usual.resize, "filter": usual.filter, "mean": usual.mean, "std": usual.std}
    image = dataclasses.replace(model.image, **pixels)
    for name, known in CLIP_SIZES.items():
        if (image, text, model.embed_width) == (known.image, known.text, known.embed_width):
            return name
    return f"ViT {image.width}x{image.depth}/{image.patch}@{image.size}, text {text.width}x{text.depth}"
