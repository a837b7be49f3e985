"""The training step: (state, batch, texts) -> (state, metrics), one function for every number of devices."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from actionclip_jax import config, sharding, xla
from actionclip_jax.models import action_clip
from actionclip_jax.training import color, losses, optim, places, slices

Params = dict[str, jax.Array]  # by path, float32


@functools.partial(jax.tree_util.register_dataclass)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a step changes, and nothing else."""

    step: jax.Array  # int32: batches seen
    params: Params
    opt_state: optax.OptState  # of the trained parameters
    ema: Params  # averaged weights; empty without averaging
    initial: Params  # of the CLIP the run started from; empty unless training interpolates
    skipped: jax.Array  # int32: steps without a finite loss and gradient
    skipped_in_row: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSpec:
    """What a step computes."""

    model: config.ModelConfig
    compute: config.ComputeConfig
    augment: config.AugmentConfig
    objective: config.ObjectiveConfig
    optim: config.OptimConfig
    interpolation: config.InterpolationConfig
    sharding: config.ShardingConfig
    steps: int  # of the whole run
    warmup: int
    seed: int
    log_odds: float = 0.0  # of a label in the training set, for multi_label

    def build(self, params: Params) -> action_clip.ActionClip:
        """The model with these parameters."""
        return action_clip.from_params(self.model, self.compute, params)

    @functools.cached_property
    def multipliers(self) -> dict[str, float]:
        """Learning-rate multiplier of every parameter; 0 for those that are frozen."""
        frozen = [(f"{tower}/.*", 0.0) for tower in ("image", "text") if getattr(self.objective, tower) == "frozen"]
        return optim.match_multipliers(action_clip.param_shapes(self.model), (*frozen, *self.optim.multipliers))

    @property
    def encodes_distinct(self) -> bool:
        """Whether each text of a batch is encoded once, however many clips have it."""
        return self.objective.encode_texts == "distinct" and self.objective.text == "trained"

    def parts(self) -> dict[str, float]:
        """Multiplier of each part of the model, or of each kind of multiplier where a part has several."""
        parts: dict[str, set[float]] = {}
        for path, value in self.multipliers.items():
            parts.setdefault(path.split("/")[0], set()).add(value)
        return {
            name if len(values) == 1 else f"{name} x {value:g}": value
            for name, values in parts.items()
            for value in sorted(values)
        }

    @property
    def optimizer(self) -> optax.GradientTransformationExtraArgs:
        """Of the parameters that are trained."""
        return optim.make_optimizer(self.optim, {path: value for path, value in self.multipliers.items() if value})


def release(state: TrainState) -> TrainState:
    """Frees the memory of a state; returns the shapes, dtypes and places of what it held (jax.ShapeDtypeStruct)."""
    like = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding), state)
    jax.tree.map(lambda array: array.delete(), state)
    return like


def init_state(spec: StepSpec, params: Params, initial: Params) -> TrainState:
    """The state before the first step; `initial` are the weights training stays near, if it does."""
    zero = jnp.zeros((), jnp.int32)
    opt_state = spec.optimizer.init({path: params[path] for path, value in spec.multipliers.items() if value})
    ema = jax.tree.map(jnp.copy, params) if spec.optim.ema else {}
    return TrainState(zero, params, opt_state, ema, initial, zero, zero)


def make_train_step(
    spec: StepSpec, mesh: Mesh
) -> Callable[[TrainState, Mapping[str, jax.Array], jax.Array], tuple[TrainState, dict[str, jax.Array]]]:
    """The step, to be jitted with its state donated and the mesh set.

    A batch is {"video": uint8 [B, T, S, S, 3], "label": int32 [B] or uint8 [B, C]}. Texts are token ids [C, P, L], or
    with a frozen text tower their unit-norm embeddings [C, P, E]. Randomness depends on the seed and the step alone.
    A step whose loss or gradient is not finite changes nothing but the counters.
    """
    schedule = optim.learning_rate(spec.optim, spec.steps, spec.warmup)
    where = places.choose(spec.model, spec.sharding, mesh)

    def step(state: TrainState, batch: Mapping[str, jax.Array], texts: jax.Array) -> tuple[TrainState, dict]:
        loss, metrics, gradients = differentiate(spec, mesh, where, state, batch, texts)
        norm = optax.tree.norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        learning_rate = schedule(state.step)
        skipped = 1 - finite.astype(jnp.int32)
        new_state = dataclasses.replace(
            state,
            **update(spec, where, state, gradients, learning_rate, finite),
            step=state.step + 1,
            skipped=state.skipped + skipped,
            skipped_in_row=(state.skipped_in_row + 1) * skipped,
        )
        metrics |= {
            "loss": loss,
            "gradient_norm": norm,
            "param_norm": optax.tree.norm(state.params),
            "logit_scale": jnp.exp(state.params["logit_scale"]),
            "learning_rate": learning_rate,
            "skipped": new_state.skipped,
            "skipped_in_row": new_state.skipped_in_row,
        }
        return new_state, metrics

    return step


def differentiate(
    spec: StepSpec,
    mesh: Mesh,
    where: places.Places,
    state: TrainState,
    batch: Mapping[str, jax.Array],
    texts: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array], Params]:
    """The loss of a batch, its accuracies, and the gradients of the trained parameters, where these are kept."""
    loss_key, weight_key = jax.random.split(jax.random.fold_in(jax.random.key(spec.seed), state.step))
    # of parts of a batch the gradients are added up in the dtype of the parameters
    dtype = spec.compute.dtype if spec.optim.accumulate == 1 else "float32"
    params = where.gather(state.params, dtype)
    points = [{path: params[path] for path, value in spec.multipliers.items() if value}]
    if strength := spec.interpolation.loss_weight:
        # the gradient at the interpolated weights moves the weights themselves: arXiv 2302.00624, equation 6
        weight = jax.random.uniform(weight_key, maxval=spec.interpolation.max_initial_fraction)
        between = optim.interpolate(state.initial, {path: state.params[path] for path in points[0]}, weight)
        points.append(where.gather(between, dtype))

    def at_points(common: tuple, rows: Mapping[str, jax.Array], keys: tuple) -> tuple:
        params, points, texts = common

        @functools.partial(jax.value_and_grad, has_aux=True)
        def loss_at(trained: Params) -> tuple[jax.Array, dict[str, jax.Array]]:
            return batch_loss(spec, spec.build(params | trained), rows, texts, keys)

        (loss, metrics), gradients = loss_at(points[0])
        gradients = where.spread(gradients)
        for point in points[1:]:
            (metrics["loss/interpolated"], _), others = loss_at(point)
            gradients = jax.tree.map(lambda one, other: one + strength * other, gradients, where.spread(others))
        return loss, metrics, gradients

    rows, texts, keys = draw(spec, batch, texts, loss_key)
    # with whole gradients slices would exchange more than XLA lets them
    compute = slices.average(at_points, mesh) if mesh.shape["slice"] > 1 and where.apart else at_points
    return compute((params, points, texts), rows, keys)


@jax.named_scope("optimizer")
def update(
    spec: StepSpec,
    where: places.Places,
    state: TrainState,
    gradients: Params,
    learning_rate: jax.Array,
    finite: jax.Array,
) -> dict[str, Any]:
    """The fields of the state that gradients change, as they were unless all was finite."""
    keep = functools.partial(jax.tree.map, lambda new, old: jnp.where(finite, new, old))
    trained = {path: state.params[path] for path in gradients}
    directions, opt_state = spec.optimizer.update(gradients, state.opt_state, trained)
    moved = jax.tree.map(lambda param, direction: param - learning_rate * direction, trained, directions)
    if spec.optim.float16_weights:
        moved = optim.round_to_float16(moved)
    averages = {path: value for path, value in state.ema.items() if path in moved}  # of what is frozen they stay
    averaged = {path: value + (1 - spec.optim.ema) * (moved[path] - value) for path, value in averages.items()}
    return {
        "params": state.params | keep(moved, trained),
        "opt_state": keep(opt_state, state.opt_state),
        "ema": state.ema | keep(averaged, averages),
    }


def trace_step(
    spec: StepSpec,
    mesh: Mesh,
    state: TrainState,
    texts: jax.Array | jax.ShapeDtypeStruct,
    sample: config.SampleConfig,
    rows: int,
) -> jax.stages.Traced:
    """The step for batches of so many clips, to be lowered and compiled ahead, so that it cannot compile twice.

    State and texts may be descriptions with shardings (jax.ShapeDtypeStruct). The mesh is set; it may be of devices
    that are not here. Raises ValueError where its devices have not the attention that is asked for.
    """
    xla.check_attention(spec.compute.attention)
    video = (rows, sample.frames, sample.size, sample.size, 3)
    multi_label = spec.objective.loss == "multi_label"
    label = ((rows, texts.shape[0]), jnp.uint8) if multi_label else ((rows,), jnp.int32)
    by_row = sharding.by_row(mesh)
    batch = {
        "video": jax.ShapeDtypeStruct(video, jnp.uint8, sharding=by_row),
        "label": jax.ShapeDtypeStruct(*label, sharding=by_row),
    }
    step = jax.jit(
        make_train_step(spec, mesh),
        donate_argnums=0,
        out_shardings=(jax.tree.map(lambda array: array.sharding, state), sharding.everywhere(mesh)),
        compiler_options=xla.options(spec.compute.dtype),
    )
    return step.trace(state, batch, texts)


def draw(
    spec: StepSpec, batch: Mapping[str, jax.Array], texts: jax.Array, key: jax.Array
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
    spec: StepSpec,
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
    if objective.computation == "blockwise":
        mesh = jax.sharding.get_abstract_mesh()
        tiles = {"mesh": mesh, "axes": sharding.clip_axes(mesh), "block": objective.block}
        return losses.contrastive_blockwise(video, text, labels, scale, objective.loss, **tiles)
    return losses.contrastive(video, text, labels, scale, objective.loss)


def encode_videos(
    spec: StepSpec, model: action_clip.ActionClip, frames: jax.Array, color_keys: jax.Array, key: jax.Array
) -> jax.Array:
    """uint8 [B, T, S, S, 3] -> unit-norm [B, E], colours changed on the way, by a key for each clip."""

    def encode(frames: jax.Array, color_keys: jax.Array, key: jax.Array) -> jax.Array:
        if spec.augment.jitter or spec.augment.grayscale:
            change = functools.partial(color.augment_clip, augment=spec.augment)
            frames = sharding.spread_rows(jax.vmap(change)(frames, color_keys))
        return model.encode_video(frames, key)

    return in_parts(encode, (frames, color_keys), key, spec.optim.accumulate)


def encode_texts(spec: StepSpec, model: action_clip.ActionClip, texts: jax.Array, key: jax.Array) -> jax.Array:
    """Token ids [N, L] -> unit-norm [N, E]; embeddings [N, E] of a frozen tower stay as they are."""
    if spec.objective.text == "frozen":
        return texts
    parts = spec.optim.accumulate if texts.shape[0] % spec.optim.accumulate == 0 else 1
    return in_parts(model.encode_text, (texts,), key, parts)


def encode_distinct(
    spec: StepSpec, model: action_clip.ActionClip, texts: jax.Array, wanted: jax.Array, key: jax.Array
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
