"""PE-Core as Meta releases it: OpenAI's names and an attention pooling, in a .pt file that says nothing more."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import mapping, tensor_names

PROBE = "visual.attn_pool.probe"
# of the five released image towers: no file says them
HEADS_OF_WIDTH = {192: 3, 384: 6, 768: 12, 1024: 16, 1536: 16}
POOL_HEADS = 8
HALF = (0.5, 0.5, 0.5)
NOTE = (
    "PE-Core's activation gelu, LayerNorm eps 1e-5, rotary positions, 8 heads of pooling and pixels (squashed, "
    "bilinear, mean and deviation 0.5) are those of the release: the file does not say them"
)


def follow(model: config.ModelConfig, tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
    """The model whose sizes are known, with what all of PE-Core's towers have."""
    hidden = tensors.get("visual.attn_pool.mlp.c_fc.weight")
    pool_width = 0 if hidden is None or len(hidden) == 4 * model.image.width else len(hidden)
    image = dataclasses.replace(
        model.image,
        heads=HEADS_OF_WIDTH.get(model.image.width, 0),
        class_token="visual.class_embedding" in tensors,  # which G alone has not
        pool_mlp_width=pool_width,
        **family(),
    )
    return dataclasses.replace(model, image=image, activation="gelu")


def family() -> dict[str, object]:
    """The fields of an image tower that all of PE-Core's have, whatever their sizes."""
    return {
        "rotary": True,
        "pooling": "attention",
        "pool_heads": POOL_HEADS,
        "resize": "squash",
        "filter": "bilinear",
        "mean": HALF,
        "std": HALF,
    }


def pool_rows() -> list[mapping.Row]:
    """The names of the attention pooling; all others are OpenAI's."""
    path, name = "image/pool", PROBE.removesuffix(".probe")
    return [
        mapping.Row(f"{path}/probe", (PROBE,), tensor_names.ONE_TOKEN),
        *tensor_names.attention(f"{path}/attn", f"{name}.attn", POOL_HEADS),
        *tensor_names.norm(f"{path}/ln", f"{name}.layernorm"),
        *tensor_names.linear(f"{path}/mlp/fc", f"{name}.mlp.c_fc"),
        *tensor_names.linear(f"{path}/mlp/proj", f"{name}.mlp.c_proj"),
    ]


def not_expressible(model: config.ModelConfig) -> list[str]:
    """What a reader of PE-Core's files would take for something else."""
    image, text = model.image, model.text
    wanted = family() | {"patch_bias": False, "pre_norm": True, "projection": True, "unread": 0}
    problems = different("image", image, wanted | {"heads": HEADS_OF_WIDTH.get(image.width, 0)})
    plain = {field.name: getattr(config.TextConfig(), field.name) for field in dataclasses.fields(text)}
    sizes = ("vocabulary", "context", "width", "depth", "mlp_width")
    problems += different(
        "text",
        text,
        {name: value for name, value in plain.items() if name not in sizes} | {"heads": text.width // 64},
    )
    return problems + different("model", model, {"activation": "gelu", "norm_eps": 1e-5, "logit_bias": False})


def different(section: str, part: object, wanted: Mapping[str, object]) -> list[str]:
    """The fields that are not as a format means them."""
    return [
        f"it means {section}.{name} {value!r}, the model has {getattr(part, name)!r}"
        for name, value in wanted.items()
        if getattr(part, name) != value
    ]
