"""The training step: (state, batch, texts) -> (state, metrics), one function for every number of devices."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from actionclip_jax import config, sharding, xla
from actionclip_jax.training import objective, optim, places, slices, step_spec

Moved = TypeVar("Moved")


@functools.partial(jax.tree_util.register_dataclass)
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a step changes, and nothing else."""

    step: jax.Array  # int32: batches seen
    params: step_spec.Params
    opt_state: optax.OptState  # of the trained parameters
    ema: step_spec.Params  # averaged weights; empty without averaging
    initial: step_spec.Params  # of the CLIP the run started from; empty unless training interpolates
    skipped: jax.Array  # int32: steps without a finite loss and gradient
    skipped_in_row: jax.Array


def release(state: TrainState) -> TrainState:
    """Frees the memory of a state; returns the shapes, dtypes and places of what it held (jax.ShapeDtypeStruct)."""
    like = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding), state)
    jax.tree.map(lambda array: array.delete(), state)
    return like


def init_state(spec: step_spec.StepSpec, params: step_spec.Params, initial: step_spec.Params) -> TrainState:
    """The state before the first step; `initial` are the weights training stays near, if it does."""
    zero = jnp.zeros((), jnp.int32)
    opt_state = spec.optimizer.init({path: params[path] for path, value in spec.multipliers.items() if value})
    ema = jax.tree.map(jnp.copy, params) if spec.optim.ema else {}
    return TrainState(zero, params, opt_state, ema, initial, zero, zero)


def make_train_step(
    spec: step_spec.StepSpec, mesh: Mesh
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
            **update(spec, state, gradients, learning_rate, finite),
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
        if spec.model.logit_bias:
            metrics["logit_bias"] = state.params["logit_bias"]
        return new_state, metrics

    return step


def differentiate(
    spec: step_spec.StepSpec,
    mesh: Mesh,
    where: places.Places,
    state: TrainState,
    batch: Mapping[str, jax.Array],
    texts: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array], step_spec.Params]:
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
        def loss_at(trained: step_spec.Params) -> tuple[jax.Array, dict[str, jax.Array]]:
            return objective.batch_loss(spec, spec.build(params | trained), rows, texts, keys)

        (loss, metrics), gradients = loss_at(points[0])
        gradients = where.spread(gradients)
        for point in points[1:]:
            (metrics["loss/interpolated"], _), others = loss_at(point)
            gradients = jax.tree.map(lambda one, other: one + strength * other, gradients, where.spread(others))
        return loss, metrics, gradients

    rows, texts, keys = objective.draw(spec, batch, texts, loss_key)
    # with whole gradients slices would exchange more than XLA lets them
    compute = slices.average(at_points, mesh) if mesh.shape["slice"] > 1 and where.apart else at_points
    return compute((params, points, texts), rows, keys)


@jax.named_scope("optimizer")
def update(
    spec: step_spec.StepSpec,
    state: TrainState,
    gradients: step_spec.Params,
    learning_rate: jax.Array,
    finite: jax.Array,
) -> dict[str, Any]:
    """The fields of the state that gradients change, as they were unless all was finite."""
    trained = {path: state.params[path] for path in gradients}
    averages = {path: value for path, value in state.ema.items() if path in trained}  # of what is frozen they stay

    def move() -> tuple[step_spec.Params, optax.OptState, step_spec.Params]:
        directions, opt_state = spec.optimizer.update(gradients, state.opt_state, trained)
        moved = jax.tree.map(lambda param, direction: param - learning_rate * direction, trained, directions)
        if spec.optim.float16_weights:
            moved = optim.round_to_float16(moved)
        averaged = {path: value + (1 - spec.optim.ema) * (moved[path] - value) for path, value in averages.items()}
        return moved, opt_state, averaged

    moved, opt_state, averaged = move_if(finite, move, (trained, state.opt_state, averages))
    return {"params": state.params | moved, "opt_state": opt_state, "ema": state.ema | averaged}


def move_if(finite: jax.Array, move: Callable[[], Moved], stay: Moved) -> Moved:
    """`move()` where finite, else `stay`.

    A CPU takes one of two branches, and so passes over the memory of all parameters half as often as if it chose
    between both results. Accelerators choose: there a branch was not measured.
    """
    if xla.platform() == "cpu":
        return jax.lax.cond(finite, move, lambda: stay)
    return jax.tree.map(functools.partial(jnp.where, finite), move(), stay)


def trace_step(
    spec: step_spec.StepSpec,
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
