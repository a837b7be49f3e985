"""PE-Core as Meta releases it: OpenAI's names and an attention pooling, in a .pt file that says nothing more."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import mapping, settings, shapes, tensor_names

PROBE = "visual.attn_pool.probe"
RELEASED = [model.image for name, model in config.SIZES.items() if name.startswith("PE-Core")]
HEADS_OF_WIDTH = {image.width: image.heads for image in RELEASED}  # which no file says
SIZES = ("size", "patch", "width", "depth", "mlp_width", "class_token", "pool_mlp_width", "embed_width")
SIZES += ("vocabulary", "context")  # by the tensors' shapes
NOTE = (
    "PE-Core's activation gelu, LayerNorm eps 1e-5, rotary positions, 8 heads of pooling and pixels (squashed, "
    "bilinear, mean and deviation 0.5) are those of the release: the file does not say them"
)


def follow(model: config.ModelConfig, tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
    """The model whose sizes are known, with what all of PE-Core's towers have."""
    sized = model.image
    image = dataclasses.replace(
        RELEASED[0],
        size=sized.size,
        patch=sized.patch,
        width=sized.width,
        depth=sized.depth,
        heads=HEADS_OF_WIDTH.get(sized.width, 0),
        mlp_width=sized.mlp_width,
        pool_mlp_width=shapes.hidden_width(tensors.get("visual.attn_pool.mlp.c_fc.weight"), sized.width),
        class_token="visual.class_embedding" in tensors,  # which the largest alone has not
    )
    return dataclasses.replace(model, image=image, activation="gelu")


def pool_rows() -> list[mapping.Row]:
    """The names of the attention pooling; all others are OpenAI's."""
    path, name = "image/pool", PROBE.removesuffix(".probe")
    return [
        mapping.Row(f"{path}/probe", (PROBE,), tensor_names.ONE_TOKEN),
        *tensor_names.attention(f"{path}/attn", f"{name}.attn", RELEASED[0].pool_heads),
        *tensor_names.norm(f"{path}/ln", f"{name}.layernorm"),
        *tensor_names.linear(f"{path}/mlp/fc", f"{name}.mlp.c_fc"),
        *tensor_names.linear(f"{path}/mlp/proj", f"{name}.mlp.c_proj"),
    ]


def not_expressible(model: config.ModelConfig) -> list[str]:
    """What a reader of PE-Core's files would take for something else."""
    image = dataclasses.replace(RELEASED[0], heads=HEADS_OF_WIDTH.get(model.image.width, 0))
    text = config.TextConfig(heads=model.text.width // 64)
    return settings.unlike(model, config.ModelConfig(image=image, text=text, activation="gelu"), SIZES)
