"""The loss of a batch: what is drawn at random for it, its features, and how these are compared."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from actionclip_jax import entry_points, sharding
from actionclip_jax.models import action_clip
from actionclip_jax.training import color, losses, own_losses, slices, step_spec


def draw(
    spec: step_spec.StepSpec, batch: Mapping[str, jax.Array], texts: jax.Array, key: jax.Array
) -> tuple[dict[str, jax.Array], jax.Array, tuple[jax.Array, jax.Array]]:
    """Draws what must depend neither on devices nor on parts of the batch: a clip's colours and its text.

    Returns the rows, with a key for the colours and, but for multi_label, `text`: a clip's token ids [B, L] (embeddings
    [B, E] of a frozen tower) or, of distinct ones, its number; then the texts they are of, [C, L] or [C * P, L]; then
    keys of what drops at random in videos and texts.
    """
    labels, (classes, templates) = batch["label"], texts.shape[:2]
    video_key, template_key, text_key = jax.random.split(key, 3)
    color_key, drop_key = jax.random.split(video_key)
    rows = {**batch, "color_key": jax.random.split(color_key, labels.shape[0])}
    if spec.objective.loss == "multi_label":
        texts = texts[jnp.arange(classes), jax.random.randint(template_key, (classes,), 0, templates)]
    else:
        drawn = jax.random.randint(template_key, labels.shape, 0, templates)
        rows["text"] = labels * templates + drawn if spec.encodes_distinct else texts[labels, drawn]
        texts = texts.reshape(-1, texts.shape[-1])
    return rows, texts, (drop_key, text_key)


def batch_loss(
    spec: step_spec.StepSpec,
    model: action_clip.ActionClip,
    rows: Mapping[str, jax.Array],
    texts: jax.Array,
    keys: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The objective of a whole batch, with its accuracies, of what `draw` returns."""
    objective, labels, (drop_key, text_key) = spec.objective, rows["label"], keys
    video = encode_videos(spec, model, rows["video"], rows["color_key"], drop_key)
    scale = jnp.exp(model.logit_scale[...])
    if objective.loss == "multi_label":
        text = encode_texts(spec, model, texts, text_key)
        return losses.multi_label(video, text, labels, scale, spec.log_odds)
    if spec.encodes_distinct:
        text = encode_distinct(spec, model, texts, rows["text"], text_key)
    else:
        text = encode_texts(spec, model, rows["text"], text_key)
    video, text, labels = (slices.gather(array) for array in (video, text, labels))
    if entry_points.is_name(objective.loss):
        return own_losses.compute(objective.loss, video, text, labels, scale)
    bias = bias_of(model) if objective.loss == "sigmoid" else None
    if objective.computation == "blockwise":
        mesh = jax.sharding.get_abstract_mesh()
        tiles = {"mesh": mesh, "axes": sharding.clip_axes(mesh), "block": objective.block}
        return losses.contrastive_blockwise(video, text, labels, scale, objective.loss, bias, **tiles)
    return losses.contrastive(video, text, labels, scale, objective.loss, bias)


def bias_of(model: action_clip.ActionClip) -> jax.Array:
    """The learned number that a sigmoid adds to the scaled similarities; settings without it were refused."""
    assert model.logit_bias is not None, "objective.loss sigmoid without model.logit_bias"
    return model.logit_bias[...]


def encode_videos(
    spec: step_spec.StepSpec, model: action_clip.ActionClip, frames: jax.Array, color_keys: jax.Array, key: jax.Array
) -> jax.Array:
    """uint8 [B, T, S, S, 3] -> unit-norm [B, E], colours changed on the way, by a key for each clip."""

    def encode(frames: jax.Array, color_keys: jax.Array, key: jax.Array) -> jax.Array:
        if spec.augment.jitter or spec.augment.grayscale:
            change = functools.partial(color.augment_clip, augment=spec.augment)
            frames = sharding.spread_rows(jax.vmap(change)(frames, color_keys))
        return model.encode_video(frames, key)

    return in_parts(encode, (frames, color_keys), key, spec.optim.accumulate)


def encode_texts(
    spec: step_spec.StepSpec, model: action_clip.ActionClip, texts: jax.Array, key: jax.Array
) -> jax.Array:
    """Token ids [N, L] -> unit-norm [N, E]; embeddings [N, E] of a frozen tower stay as they are."""
    if spec.objective.text == "frozen":
        return texts
    parts = spec.optim.accumulate if texts.shape[0] % spec.optim.accumulate == 0 else 1
    return in_parts(model.encode_text, (texts,), key, parts)


def encode_distinct(
    spec: step_spec.StepSpec, model: action_clip.ActionClip, texts: jax.Array, wanted: jax.Array, key: jax.Array
) -> jax.Array:
    """Token ids [C * P, L] and the numbers of the wanted texts [B] -> [B, E], each text encoded once.

    Shapes must not depend on the batch, so room is made for as many texts as there can be: B, or all C * P of them.
    """
    unit = sharding.batch_shards(jax.sharding.get_abstract_mesh()) * spec.optim.accumulate
    room = -(-min(wanted.shape[0], texts.shape[0]) // unit) * unit
    distinct, places = jnp.unique(wanted, size=room, fill_value=0, return_inverse=True)
    return encode_texts(spec, model, texts[distinct], key)[places]


def in_parts(encode: Callable, arrays: tuple[jax.Array, ...], key: jax.Array, parts: int) -> jax.Array:
    """`encode(*arrays, key)` of the rows in that many parts, one after the other; the features come back in order.

    Of a part only its features are kept for the backward pass, which encodes it again. So the loss sees the whole
    batch while activations exist for one part at a time, and the gradients are those of the whole batch: what
    GradCache (arXiv 2101.06983) does by hand. A part takes every n-th row, so each device stays with its own.
    """
    if parts == 1:
        return encode(*arrays, key)
    split = [array.reshape(-1, parts, *array.shape[1:]).swapaxes(0, 1) for array in arrays]
    encode_part = jax.checkpoint(lambda part: encode(*part))
    features = jax.lax.map(encode_part, (*split, jax.random.split(key, parts)))
    return features.swapaxes(0, 1).reshape(-1, features.shape[-1])
