"""The published sizes of CLIP and its successors."""

import dataclasses
from typing import Any

from actionclip_jax.config import checks, successors
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
SIZES = CLIP_SIZES | successors.SIZES


def clip_model(size: str, head: model_config.Head | str = "meanP", **changes: Any) -> ModelConfig:
    """The model of published towers (a key of SIZES) with a temporal head; `changes` replace other fields."""
    if size not in SIZES:
        raise checks.ConfigError([f"model size {size!r}: expected one of {', '.join(SIZES)}"])
    base = SIZES[size]
    return model_config.checked_model(dataclasses.replace(base, **{"temporal": new_head(head, base.text), **changes}))


def new_head(head: model_config.Head | str, text: TextConfig) -> TemporalConfig:
    """A temporal head as the source builds it for a CLIP with that text tower."""
    return TemporalConfig(head=head, heads=8 if head == "Transf_cls" else text.heads)


def size_name(model: ModelConfig) -> str:
    """The published name of the model's towers, or a description of their shapes."""
    for name, known in SIZES.items():
        # how pixels come to be is not part of a size
        pixels = {field: getattr(known.image, field) for field in ("mean", "std", "resize", "filter")}
        image = dataclasses.replace(model.image, **pixels)
        if (image, model.text, model.embed_width) == (known.image, known.text, known.embed_width):
            return name
    image, text = model.image, model.text
    return f"ViT {image.width}x{image.depth}/{image.patch}@{image.size}, text {text.width}x{text.depth}"
