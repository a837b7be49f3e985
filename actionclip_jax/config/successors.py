"""The published sizes of CLIP's successors: SigLIP, Perception Encoder, and open_clip's larger ones."""

from actionclip_jax.config.model import Activation, ImageConfig, ModelConfig, TextConfig

HALF = (0.5, 0.5, 0.5)  # pixels become -1..1


def siglip(
    size: int,
    patch: int,
    shape: tuple[int, int, int, int],
    *,
    version: int = 2,
    text_shape: tuple[int, int, int, int] | None = None,
    context: int = 64,
    unread: int = 0,
) -> ModelConfig:
    """SigLIP (arXiv 2303.15343) and SigLIP 2 (arXiv 2502.14786) at a fixed size of pictures.

    Args:
        size: pixels of a picture's side.
        patch: pixels of a patch's side.
        shape: width, depth, heads and the MLP's width of the image tower.
        version: 1 or 2: they differ in the texts' tokens and in the filter that pictures are resized by.
        text_shape: that of the text tower, if another.
        context: tokens of a text.
        unread: pixels of a side that fill no patch.
    """
    width, depth, heads, mlp_width = shape
    text_width, text_depth, text_heads, text_mlp_width = text_shape or shape
    return ModelConfig(
        image=ImageConfig(
            size=size,
            patch=patch,
            width=width,
            depth=depth,
            heads=heads,
            mlp_width=mlp_width,
            class_token=False,
            patch_bias=True,
            pre_norm=False,
            pooling="attention",
            pool_heads=heads,
            pool_mlp_width=mlp_width,
            projection=False,
            unread=unread,
            resize="squash",
            filter="bicubic" if version == 1 else "bilinear",
            mean=HALF,
            std=HALF,
        ),
        text=TextConfig(
            vocabulary=32_000 if version == 1 else 256_000,
            context=context,
            width=text_width,
            depth=text_depth,
            heads=text_heads,
            mlp_width=text_mlp_width,
            causal=False,
            pooling="last",
            pad=1 if version == 1 else 0,
            projection_bias=True,
            cleaning="canonical",
        ),
        embed_width=width,
        activation="gelu_tanh",
        norm_eps=1e-6,
        logit_bias=True,
    )


def perception_encoder(
    size: int,
    patch: int,
    shape: tuple[int, int, int, int],
    text_shape: tuple[int, int, int],
    *,
    context: int = 32,
    class_token: bool = True,
) -> ModelConfig:
    """Perception Encoder's Core (arXiv 2504.13181).

    Args:
        size: pixels of a picture's side.
        patch: pixels of a patch's side.
        shape: width, depth, heads and the MLP's width of the image tower.
        text_shape: width, depth and heads of the text tower, whose width is that of the embedding.
        context: tokens of a text.
        class_token: whether there is one, which only the largest lacks.
    """
    width, depth, heads, mlp_width = shape
    text_width, text_depth, text_heads = text_shape
    return ModelConfig(
        image=ImageConfig(
            size=size,
            patch=patch,
            width=width,
            depth=depth,
            heads=heads,
            mlp_width=mlp_width,
            class_token=class_token,
            rotary=True,
            pooling="attention",
            resize="squash",
            filter="bilinear",
            mean=HALF,
            std=HALF,
        ),
        text=TextConfig(context=context, width=text_width, depth=text_depth, heads=text_heads),
        embed_width=text_width,
        activation="gelu",
    )


def open_clip(
    shape: tuple[int, int, int, int],
    text_shape: tuple[int, int, int],
    *,
    multilingual: bool = False,
    activation: Activation = "gelu",
) -> ModelConfig:
    """open_clip's towers that are larger than OpenAI's, with patches of 14 pixels.

    Args:
        shape: width, depth, heads and the MLP's width of the image tower.
        text_shape: width, depth and heads of the text tower, whose width is that of the embedding.
        multilingual: with the texts' tokens of MetaCLIP 2 (arXiv 2507.22062).
        activation: of both towers.
    """
    width, depth, heads, mlp_width = shape
    text_width, text_depth, text_heads = text_shape
    text = TextConfig(width=text_width, depth=text_depth, heads=text_heads)
    if multilingual:
        text = TextConfig(
            vocabulary=901_629,
            width=text_width,
            depth=text_depth,
            heads=text_heads,
            pooling="end",
            end=2,
            pad=1,
            cleaning="whitespace",
        )
    image = ImageConfig(patch=14, width=width, depth=depth, heads=heads, mlp_width=mlp_width)
    return ModelConfig(image=image, text=text, embed_width=text_width, activation=activation)


BASE, LARGE, SO400M, GIANT = (768, 12, 12, 0), (1024, 24, 16, 0), (1152, 27, 16, 4304), (1536, 40, 16, 0)

SIZES = {
    "SigLIP-B/16": siglip(224, 16, BASE, version=1),
    "SigLIP-B/16@256": siglip(256, 16, BASE, version=1),
    "SigLIP-B/16@384": siglip(384, 16, BASE, version=1),
    "SigLIP-B/16@512": siglip(512, 16, BASE, version=1),
    "SigLIP-L/16@256": siglip(256, 16, LARGE, version=1),
    "SigLIP-L/16@384": siglip(384, 16, LARGE, version=1),
    "SigLIP-So400m/14": siglip(224, 14, SO400M, version=1, context=16),
    "SigLIP-So400m/14@384": siglip(384, 14, SO400M, version=1, unread=6),
    "SigLIP2-B/32@256": siglip(256, 32, BASE),
    "SigLIP2-B/16": siglip(224, 16, BASE),
    "SigLIP2-B/16@256": siglip(256, 16, BASE),
    "SigLIP2-B/16@384": siglip(384, 16, BASE),
    "SigLIP2-B/16@512": siglip(512, 16, BASE),
    "SigLIP2-L/16@256": siglip(256, 16, LARGE),
    "SigLIP2-L/16@384": siglip(384, 16, LARGE),
    "SigLIP2-L/16@512": siglip(512, 16, LARGE),
    "SigLIP2-So400m/14": siglip(224, 14, SO400M),
    "SigLIP2-So400m/14@384": siglip(384, 14, SO400M, unread=6),
    "SigLIP2-So400m/16@256": siglip(256, 16, SO400M),
    "SigLIP2-So400m/16@384": siglip(384, 16, SO400M),
    "SigLIP2-So400m/16@512": siglip(512, 16, SO400M),
    "SigLIP2-g-opt/16@256": siglip(256, 16, GIANT, text_shape=SO400M),
    "SigLIP2-g-opt/16@384": siglip(384, 16, GIANT, text_shape=SO400M),
    "PE-Core-T/16@384": perception_encoder(384, 16, (192, 12, 3, 0), (512, 12, 8)),
    "PE-Core-S/16@384": perception_encoder(384, 16, (384, 12, 6, 0), (512, 12, 8)),
    "PE-Core-B/16": perception_encoder(224, 16, BASE, (1024, 24, 16)),
    "PE-Core-L/14@336": perception_encoder(336, 14, LARGE, (1024, 24, 16)),
    "PE-Core-G/14@448": perception_encoder(
        448, 14, (1536, 50, 16, 8960), (1280, 24, 20), context=72, class_token=False
    ),
    "ViT-H/14": open_clip((1280, 32, 16, 0), (1024, 24, 16)),
    "ViT-g/14": open_clip((1408, 40, 16, 6144), (1024, 24, 16)),
    "ViT-bigG/14": open_clip((1664, 48, 16, 8192), (1280, 32, 20)),
    "MetaCLIP2-H/14": open_clip((1280, 32, 16, 0), (1024, 24, 16), multilingual=True, activation="quick_gelu"),
    "MetaCLIP2-bigG/14": open_clip((1664, 48, 16, 8192), (1280, 32, 20), multilingual=True),
}
