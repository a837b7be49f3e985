"""By which names a format's file has the parts of a model."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import (
    big_vision,
    huggingface,
    mapping,
    perception_encoder,
    shapes,
    tensor_names,
    timm_trunks,
    wrappers,
)

TEXT = "text."  # before the names of the text tower, where open_clip builds it apart from the rest


@dataclasses.dataclass(frozen=True)
class Naming:
    """The names of one file."""

    kind: str  # its format
    prefix: str = ""  # before all names
    timm: bool = False  # the image tower has timm's names
    apart: str = ""  # before the names of the text tower: TEXT or nothing
    spelling: big_vision.Spelling | None = None  # of big_vision's names

    def sizes(self, tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
        """The tensors that say a size, by their role."""
        if self.kind == "huggingface":
            return shapes.HUGGINGFACE_NAMES
        names = shapes.openai_names(self.prefix, self.prefix + self.apart)
        linear = f"{names['projection']}.weight"  # as it is where the projection has a bias
        return names | ({"projection": linear} if linear in tensors else {})

    def rows(self, model: config.ModelConfig) -> list[mapping.Row]:
        """Which tensor is which parameter of the towers."""
        if self.kind == "huggingface":
            return huggingface.rows(model)
        if self.kind == "big_vision":
            return big_vision.rows(model, self.spelling or big_vision.Spelling())
        visual = f"{self.prefix}visual"
        image = timm_trunks.image_rows(model.image) if self.timm else tensor_names.openai_image(model, visual)
        pool = perception_encoder.pool_rows() if self.kind == "pe" else []
        text = tensor_names.openai_text(model, self.prefix + self.apart)
        return [*image, *pool, *text, *tensor_names.scales(model, self.prefix)]


def of(kind: str, prefix: str, anchor: str, tensors: Collection[str]) -> Naming:
    """The names of a file of a format, which begin with `prefix`; `anchor` is which of wrappers.ANCHORS it has."""
    apart = TEXT if f"{prefix}{TEXT}{shapes.OPENAI_TEXT['token']}" in tensors else ""
    return Naming(kind, prefix, anchor == wrappers.ANCHORS[2], apart, big_vision.spelling(tensors))
