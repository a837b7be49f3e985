"""SigLIP, and SigLIP 2 of a fixed resolution, whatever their sizes; and transformers' names for them."""

import dataclasses
import math
from collections.abc import Collection, Mapping

import numpy as np
import transformers

from actionclip_jax import config, text
from actionclip_jax.checkpoints import errors, locate, mapping, settings, shapes, tensor_names, torch_files
from actionclip_jax.config import successors

NAMES = shapes.HUGGINGFACE_NAMES | {"projection": "text_model.head.weight"}
PROBE = "vision_model.head.probe"
PUBLISHED = [model for model in config.SIZES.values() if model.logit_bias]
HEADS = {
    (tower.width, tower.depth, tower.mlp_width): tower.heads
    for model in PUBLISHED
    for tower in (model.image, model.text)
}
UNREAD = {(model.image.patch, model.image.grid): model.image.unread for model in PUBLISHED}
# what stands behind a text, by the published vocabularies: SigLIP's in English and in many languages, and SigLIP 2's
PADS = {32_000: 1, 250_000: 1, 256_000: 0}
NAFLEX = "SigLIP 2 of variable resolution (NaFlex): only SigLIP 2 of a fixed resolution is read"


def is_one(model: config.ModelConfig) -> bool:
    """Whether a model is a SigLIP if it is any of what these formats hold."""
    return model.image.pooling == "attention"


def towers(source: torch_files.Source, tensors: Mapping[str, np.ndarray]) -> config.ModelConfig:
    """The model by the shapes of transformers' tensors, with heads as published; 0 where no such size is."""
    if (patch := tensors.get(NAMES["patch"])) is not None and patch.ndim == 2:
        raise errors.CheckpointError(f"{source.name}: a linear patch embedding is that of {NAFLEX}")
    ranks = {NAMES["patch"]: 4, NAMES["image_position"]: 2, PROBE: 3}
    ranks |= {NAMES["token"]: 2, NAMES["text_position"]: 2, NAMES["projection"]: 2}
    check_whole(source.name, tensors, ranks)
    width, _, side, _ = tensors[NAMES["patch"]].shape
    image = config.ImageConfig(
        patch=side,
        width=width,
        depth=shapes.count_layers(tensors, NAMES["image_block"]),
        mlp_width=shapes.hidden_width(tensors.get(NAMES["image_hidden"]), width),
    )
    words = shapes.text_tower(NAMES, tensors)
    image = dataclasses.replace(image, heads=published_heads(image))
    words = dataclasses.replace(words, heads=published_heads(words))
    return read(source, image, words, tensors[NAMES["image_position"]].shape[0])


def check_whole(where: str, tensors: Mapping[str, np.ndarray], ranks: Mapping[str, int]) -> None:
    """Raises CheckpointError unless all of the tensors are there, with as many dimensions."""
    if missing := [name for name in ranks if name not in tensors]:
        raise errors.CheckpointError(f"{where}: not a whole SigLIP: {', '.join(missing)} missing")
    shapes.check_ranks(where, tensors, ranks)


def published_heads(tower: config.ImageConfig | config.TextConfig) -> int:
    """The heads of attention of a published tower; 0 of another."""
    return HEADS.get((tower.width, tower.depth, tower.mlp_width), 0)


def read(
    source: torch_files.Source, image: config.ImageConfig, words: config.TextConfig, patches: int
) -> config.ModelConfig:
    """The model of towers whose sizes are known, and how many patches a frame has."""
    row = math.isqrt(patches)
    if row**2 != patches:
        raise errors.CheckpointError(f"{source.name}: positions of {patches} patches, which make no square")
    return whole(image, words, row, padding(source, words.vocabulary))


def whole(image: config.ImageConfig, words: config.TextConfig, row: int, pad: int) -> config.ModelConfig:
    """The SigLIP of these towers' sizes, with so many patches in a row and that id behind a text."""
    shape, words_shape = ((tower.width, tower.depth, tower.heads, tower.mlp_width) for tower in (image, words))
    unread = UNREAD.get((image.patch, row), 0)
    model = successors.siglip(
        row * image.patch + unread,
        image.patch,
        shape,
        version=2 if pad == PADS[256_000] else 1,  # which differ in the filter of pictures
        text_shape=words_shape,
        context=words.context,
        unread=unread,
    )
    words = dataclasses.replace(model.text, vocabulary=words.vocabulary, pad=pad)
    return dataclasses.replace(model, text=words)


def unlike(model: config.ModelConfig, free: Collection[str]) -> list[str]:
    """What of a model is otherwise than all SigLIP of its sizes have it, but for fields of the `free` names."""
    pad = PADS.get(model.text.vocabulary, model.text.pad)
    return settings.unlike(model, whole(model.image, model.text, model.image.grid, pad), free)


def notes(model: config.ModelConfig) -> list[str]:
    """What of a model without a configuration is taken for granted: what its vocabulary and its patches mean."""
    image, said = model.image, words_notes(model.text)
    if image.unread:
        said.append(
            f"frames of {image.size} pixels, of which {image.unread} at the right and lower edge are not read, as the "
            f"SigLIP of this size is published: by its shapes it could take {image.size - image.unread}"
        )
    return said


def words_notes(words: config.TextConfig) -> list[str]:
    """What of texts is taken for granted."""
    if words.vocabulary in PADS:
        return []
    kind = "SigLIP 2" if words.pad == PADS[256_000] else "SigLIP"
    return [
        f"texts are padded with {words.pad}, as a file beside the weights says, and so prepared as {kind}'s "
        f"({words.cleaning}): no published vocabulary has {words.vocabulary} tokens"
    ]


def padding(source: torch_files.Source, vocabulary: int) -> int:
    """The id of the tokens behind a text, which these towers see: of a published vocabulary, or by the files beside.

    transformers pads with what the tokenizer says, whatever the configuration has.
    """
    if vocabulary in PADS:
        return PADS[vocabulary]
    stated = tokenizer_padding(source)
    if stated is None and isinstance(part := source.side.get("config.json", {}).get("text_config"), dict):
        stated = part.get("pad_token_id")
    if type(stated) is int:
        return stated
    raise errors.CheckpointError(
        f"{source.name}: cannot know the id of the padding behind a text, which a SigLIP sees: its vocabulary has "
        f"{vocabulary} tokens, which is no published one ({', '.join(map(str, PADS))}), and no file beside it has a "
        "pad_token"
    )


def tokenizer_padding(source: torch_files.Source) -> int | None:
    """The id with which the tokenizer beside the weights pads, if there is one and it does."""
    beside = source.path.parent
    if not locate.owns_tokenizer(source.path) or not (beside / text.TOKENIZER_FILES[0]).is_file():
        return None
    try:
        return transformers.PreTrainedTokenizerFast.from_pretrained(beside, local_files_only=True).pad_token_id
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise errors.CheckpointError(f"{beside}: the tokenizer is damaged ({error!r})") from None


def rows(model: config.ModelConfig) -> list[mapping.Row]:
    """The names of transformers' SiglipModel."""
    image, text, vision, head = model.image, model.text, "vision_model", "vision_model.head"
    same, first = tensor_names.SAME, tensor_names.ONE_BATCH
    return [
        mapping.Row("image/patch/kernel", (NAMES["patch"],), tensor_names.PATCH),
        mapping.Row("image/patch/bias", (f"{vision}.embeddings.patch_embedding.bias",), same),
        mapping.Row("image/position", (NAMES["image_position"],), same),
        *tensor_names.huggingface_blocks("image/blocks", f"{vision}.encoder.layers.{{i}}", image.heads, image.depth),
        *tensor_names.norm("image/ln_post", f"{vision}.post_layernorm"),
        mapping.Row("image/pool/probe", (PROBE,), tensor_names.ONE_TOKEN),
        *tensor_names.attention("image/pool/attn", f"{head}.attention", image.pool_heads),
        *tensor_names.norm("image/pool/ln", f"{head}.layernorm"),
        *tensor_names.linear("image/pool/mlp/fc", f"{head}.mlp.fc1"),
        *tensor_names.linear("image/pool/mlp/proj", f"{head}.mlp.fc2"),
        mapping.Row("text/token/embedding", (NAMES["token"],), same),
        mapping.Row("text/position", (NAMES["text_position"],), same),
        *tensor_names.huggingface_blocks("text/blocks", "text_model.encoder.layers.{i}", text.heads, text.depth),
        *tensor_names.norm("text/ln_final", "text_model.final_layer_norm"),
        *tensor_names.linear("text/projection", "text_model.head"),
        mapping.Row("logit_scale", ("logit_scale",), first),
        mapping.Row("logit_bias", ("logit_bias",), first),
    ]
