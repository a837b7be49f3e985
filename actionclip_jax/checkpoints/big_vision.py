"""SigLIP as its authors release it: google-research/big_vision's names, in an .npz file."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, mapping, shapes, siglip, tensor_names, torch_files

PATCH, POSITION, TOKEN, TEXT_POSITION = (
    "img/embedding/kernel",
    "img/pos_embedding",
    "txt/Embed_0/embedding",
    "txt/pos_embedding",
)
IMAGE_BLOCKS, TEXT_BLOCKS = "img/Transformer/encoderblock", "txt/Encoder_0/encoderblock"
PREFIXES = ("", "params/")  # what stands in front of all names, in files that may hold an optimizer too
ATTENTION = "MultiHeadDotProductAttention_0"

FLAT_PATCH = mapping.Layout(  # [P, P, 3, D] <-> [P * P * 3, D]
    lambda x: x.reshape(-1, x.shape[-1]), lambda x: (x.reshape(round((len(x) / 3) ** 0.5), -1, 3, x.shape[-1]),)
)
# of q, k and v: [D, H, K] each <-> [D, 3, H, K], and [H, K] each <-> [3, H, K]; with a leading layer axis too
STACKED = mapping.Layout(lambda *qkv: np.stack(qkv, axis=-3), lambda x: tuple(x[..., part, :, :] for part in range(3)))


@dataclasses.dataclass(frozen=True)
class Spelling:
    """What of the names differs between files."""

    prefix: str = ""
    stacked_image: bool = True  # blocks are one array with a leading layer axis, as SigLIP 2 has them
    stacked_text: bool = True


def spelling(names: Collection[str]) -> Spelling:
    """How the names of a file are spelt."""
    prefix = next((prefix for prefix in reversed(PREFIXES) if f"{prefix}{PATCH}" in names), "")

    def stacked(blocks: str) -> bool:
        return any(name.startswith(f"{prefix}{blocks}/") for name in names)

    return Spelling(prefix, stacked(IMAGE_BLOCKS), stacked(TEXT_BLOCKS))


def towers(source: torch_files.Source, tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
    """The model by the shapes of its arrays, which say heads too."""
    where = source.name
    spelt = spelling(tensors)
    short = {name.removeprefix(spelt.prefix): array for name, array in tensors.items()}
    if PATCH in short and short[PATCH].ndim == 2:
        raise errors.CheckpointError(f"{where}: a linear patch embedding is that of {siglip.NAFLEX}")
    siglip.check_whole(where, short, {PATCH: 4, POSITION: 3, TOKEN: 2, TEXT_POSITION: 3})
    side, _, _, width = short[PATCH].shape
    vocabulary, text_width = short[TOKEN].shape
    image = config.ImageConfig(patch=side, width=width)
    words = config.TextConfig(vocabulary=vocabulary, context=short[TEXT_POSITION].shape[1], width=text_width)
    image = dataclasses.replace(image, **block_sizes(where, short, IMAGE_BLOCKS, width))
    words = dataclasses.replace(words, **block_sizes(where, short, TEXT_BLOCKS, text_width))
    return siglip.read(source, image, words, short[POSITION].shape[1])


def block_sizes(where: str, tensors: Mapping[str, np.ndarray], blocks: str, width: int) -> dict[str, int]:
    """Depth, heads and the MLP's width of a tower."""
    one = f"{blocks}_0" if f"{blocks}_0/{ATTENTION}/query/kernel" in tensors else blocks
    query, hidden = f"{one}/{ATTENTION}/query/kernel", f"{one}/MlpBlock_0/Dense_0/bias"
    stacked = int(one == blocks)
    siglip.check_whole(where, tensors, {query: 3 + stacked, hidden: 1 + stacked})
    channels = tensors[hidden].shape[-1]
    return {
        "depth": len(tensors[query]) if stacked else shapes.count_layers(tensors, f"{blocks}_{{}}/"),
        "heads": tensors[query].shape[-2],
        "mlp_width": 0 if channels == 4 * width else channels,
    }


def rows(model: config.ModelConfig, spelt: Spelling) -> list[mapping.Row]:
    """The names of a model."""
    prefix, same, first = spelt.prefix, tensor_names.SAME, tensor_names.ONE_BATCH
    head = f"{prefix}img/MAPHead_0"
    return [
        mapping.Row("image/patch/kernel", (f"{prefix}{PATCH}",), FLAT_PATCH),
        mapping.Row("image/patch/bias", (f"{prefix}img/embedding/bias",), same),
        mapping.Row("image/position", (f"{prefix}{POSITION}",), first),
        *blocks("image/blocks", f"{prefix}{IMAGE_BLOCKS}", model.image.depth, spelt.stacked_image),
        *norm("image/ln_post", f"{prefix}img/Transformer/encoder_norm"),
        mapping.Row("image/pool/probe", (f"{head}/probe",), tensor_names.ONE_TOKEN),
        *attention("image/pool/attn", f"{head}/{ATTENTION}"),
        *norm("image/pool/ln", f"{head}/LayerNorm_0"),
        *mlp("image/pool/mlp", f"{head}/MlpBlock_0"),
        mapping.Row("text/token/embedding", (f"{prefix}{TOKEN}",), same),
        mapping.Row("text/position", (f"{prefix}{TEXT_POSITION}",), first),
        *blocks("text/blocks", f"{prefix}{TEXT_BLOCKS}", model.text.depth, spelt.stacked_text),
        *norm("text/ln_final", f"{prefix}txt/Encoder_0/encoder_norm"),
        *dense("text/projection", f"{prefix}txt/head"),
        mapping.Row("logit_scale", (f"{prefix}t",), first),
        mapping.Row("logit_bias", (f"{prefix}b",), first),
    ]


def blocks(path: str, name: str, layers: int, stacked: bool) -> list[mapping.Row]:
    """A tower's blocks."""
    name, depth = (name, None) if stacked else (f"{name}_{{i}}", layers)
    return [
        *norm(f"{path}/ln_1", f"{name}/LayerNorm_0", depth),
        *attention(f"{path}/attn", f"{name}/{ATTENTION}", depth),
        *norm(f"{path}/ln_2", f"{name}/LayerNorm_1", depth),
        *mlp(f"{path}/mlp", f"{name}/MlpBlock_0", depth),
    ]


def attention(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """Flax's attention, whose kernels keep heads apart as here."""
    parts = [f"{name}/{part}" for part in ("query", "key", "value")]
    return [
        *(
            mapping.Row(f"{path}/qkv/{kind}", tuple(f"{part}/{kind}" for part in parts), STACKED, depth)
            for kind in ("kernel", "bias")
        ),
        *dense(f"{path}/out", f"{name}/out", depth),
    ]


def mlp(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """An MLP of two layers."""
    return [*dense(f"{path}/fc", f"{name}/Dense_0", depth), *dense(f"{path}/proj", f"{name}/Dense_1", depth)]


def dense(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """A linear layer with bias, [in, out] as here."""
    return [mapping.Row(f"{path}/{kind}", (f"{name}/{kind}",), tensor_names.SAME, depth) for kind in ("kernel", "bias")]


def norm(path: str, name: str, depth: int | None = None) -> list[mapping.Row]:
    """A LayerNorm."""
    return [mapping.Row(f"{path}/{kind}", (f"{name}/{kind}",), tensor_names.SAME, depth) for kind in ("scale", "bias")]


def not_expressible(model: config.ModelConfig) -> list[str]:
    """What a reader of these names would take for something else: they belong to code without settings."""
    return siglip.unlike(model, ())
