"""The vision transformers of timm that open_clip's SigLIP and PE-Core models have: their sizes, and their names."""

import dataclasses

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import mapping, tensor_names

BIAS = "visual.trunk.head.bias"  # of the projection: always there, and zero as PE-Core has none


@dataclasses.dataclass(frozen=True)
class Trunk:
    """An image tower as timm builds it by a name."""

    image: config.ImageConfig
    activation: config.Activation = "gelu"
    norm_eps: float = 1e-6


def of(name: str, **changes: int) -> config.ImageConfig:
    """The image tower of a published size, but for the changes."""
    return dataclasses.replace(config.SIZES[name].image, **changes)


# the authors of SigLIP have the tanh GELU in all of them, and timm has not
TRUNKS = {
    "vit_base_patch16_siglip_224": Trunk(of("SigLIP-B/16")),
    "vit_base_patch16_siglip_256": Trunk(of("SigLIP-B/16@256")),
    "vit_base_patch16_siglip_384": Trunk(of("SigLIP-B/16@384")),
    "vit_base_patch16_siglip_512": Trunk(of("SigLIP-B/16@512")),
    "vit_base_patch32_siglip_256": Trunk(of("SigLIP2-B/32@256"), "gelu_tanh"),
    "vit_large_patch16_siglip_256": Trunk(of("SigLIP-L/16@256")),
    "vit_large_patch16_siglip_384": Trunk(of("SigLIP-L/16@384")),
    "vit_large_patch16_siglip_512": Trunk(of("SigLIP2-L/16@512"), "gelu_tanh"),
    "vit_so400m_patch14_siglip_224": Trunk(of("SigLIP-So400m/14")),
    "vit_so400m_patch14_siglip_378": Trunk(of("SigLIP-So400m/14", size=378)),
    "vit_so400m_patch14_siglip_384": Trunk(of("SigLIP-So400m/14@384")),
    "vit_so400m_patch16_siglip_256": Trunk(of("SigLIP2-So400m/16@256"), "gelu_tanh"),
    "vit_so400m_patch16_siglip_384": Trunk(of("SigLIP2-So400m/16@384"), "gelu_tanh"),
    "vit_so400m_patch16_siglip_512": Trunk(of("SigLIP2-So400m/16@512"), "gelu_tanh"),
    "vit_giantopt_patch16_siglip_256": Trunk(of("SigLIP2-g-opt/16@256"), "gelu_tanh"),
    "vit_giantopt_patch16_siglip_384": Trunk(of("SigLIP2-g-opt/16@384"), "gelu_tanh"),
    "vit_pe_core_tiny_patch16_384": Trunk(of("PE-Core-T/16@384"), norm_eps=1e-5),
    "vit_pe_core_small_patch16_384": Trunk(of("PE-Core-S/16@384"), norm_eps=1e-5),
    "vit_pe_core_base_patch16_224": Trunk(of("PE-Core-B/16"), norm_eps=1e-5),
    "vit_pe_core_large_patch14_336": Trunk(of("PE-Core-L/14@336"), norm_eps=1e-5),
    "vit_pe_core_gigantic_patch14_448": Trunk(of("PE-Core-G/14@448"), norm_eps=1e-5),
}


def query_and_pair(heads: int) -> dict[str, mapping.Layout]:
    """Attention with q in one tensor, and k and v in another."""
    fused = tensor_names.fused_heads(heads)

    def joined(layout: mapping.Layout) -> mapping.Layout:
        def split(x: np.ndarray) -> tuple[np.ndarray, ...]:
            (whole,) = layout.to_torch(x)
            return tuple(np.split(whole, [len(whole) // 3]))

        return mapping.Layout(lambda q, kv: layout.to_ours(np.concatenate([q, kv])), split)

    return {kind: joined(layout) for kind, layout in fused.items()}


def image_rows(image: config.ImageConfig) -> list[mapping.Row]:
    """The names of timm's vision transformers with attention pooling."""
    trunk = "visual.trunk"
    rows = [mapping.Row("image/patch/kernel", (f"{trunk}.patch_embed.proj.weight",), tensor_names.PATCH)]
    if image.patch_bias:
        rows.append(mapping.Row("image/patch/bias", (f"{trunk}.patch_embed.proj.bias",), tensor_names.SAME))
    if image.class_token:
        rows.append(mapping.Row("image/class_embedding", (f"{trunk}.cls_token",), tensor_names.ONE_TOKEN))
    rows.append(mapping.Row("image/position", (f"{trunk}.pos_embed",), tensor_names.ONE_BATCH))
    if image.pre_norm:
        rows += tensor_names.norm("image/ln_pre", f"{trunk}.norm_pre")
    rows += block_rows(f"{trunk}.blocks.{{i}}", image)
    rows += tensor_names.norm("image/ln_post", f"{trunk}.norm")
    rows += pool_rows(f"{trunk}.attn_pool", image.pool_heads)
    if image.projection:
        rows.append(mapping.Row("image/projection/kernel", (f"{trunk}.head.weight",), tensor_names.TRANSPOSED))
    return rows


def block_rows(name: str, image: config.ImageConfig) -> list[mapping.Row]:
    """Its blocks."""
    path, depth = "image/blocks", image.depth
    fused, merged = tensor_names.fused_heads(image.heads), tensor_names.merged_heads(image.heads)
    return [
        *tensor_names.norm(f"{path}/ln_1", f"{name}.norm1", depth),
        mapping.Row(f"{path}/attn/qkv/kernel", (f"{name}.attn.qkv.weight",), fused["kernel"], depth),
        mapping.Row(f"{path}/attn/qkv/bias", (f"{name}.attn.qkv.bias",), fused["bias"], depth),
        mapping.Row(f"{path}/attn/out/kernel", (f"{name}.attn.proj.weight",), merged, depth),
        mapping.Row(f"{path}/attn/out/bias", (f"{name}.attn.proj.bias",), tensor_names.SAME, depth),
        *tensor_names.norm(f"{path}/ln_2", f"{name}.norm2", depth),
        *tensor_names.linear(f"{path}/mlp/fc", f"{name}.mlp.fc1", depth),
        *tensor_names.linear(f"{path}/mlp/proj", f"{name}.mlp.fc2", depth),
    ]


def pool_rows(name: str, heads: int) -> list[mapping.Row]:
    """Its attention pooling."""
    path, parts = "image/pool", query_and_pair(heads)
    return [
        mapping.Row(f"{path}/probe", (f"{name}.latent",), tensor_names.ONE_TOKEN),
        mapping.Row(f"{path}/attn/qkv/kernel", (f"{name}.q.weight", f"{name}.kv.weight"), parts["kernel"]),
        mapping.Row(f"{path}/attn/qkv/bias", (f"{name}.q.bias", f"{name}.kv.bias"), parts["bias"]),
        mapping.Row(f"{path}/attn/out/kernel", (f"{name}.proj.weight",), tensor_names.merged_heads(heads)),
        mapping.Row(f"{path}/attn/out/bias", (f"{name}.proj.bias",), tensor_names.SAME),
        *tensor_names.norm(f"{path}/ln", f"{name}.norm"),
        *tensor_names.linear(f"{path}/mlp/fc", f"{name}.mlp.fc1"),
        *tensor_names.linear(f"{path}/mlp/proj", f"{name}.mlp.fc2"),
    ]
