"""The state of a run before its first step, made where it lives."""

import functools
from collections.abc import Mapping, Sequence

import jax
from jax.sharding import Mesh

from actionclip_jax.training import initial, places, step_spec, train_step


def describe(
    spec: step_spec.StepSpec,
    params: Mapping[str, jax.Array | jax.ShapeDtypeStruct],
    loaded: Sequence[str],
    mesh: Mesh,
) -> train_step.TrainState:
    """Shapes and places of the state of a run; `loaded` are the paths of what it takes over from a CLIP."""
    shapes = jax.eval_shape(functools.partial(before_first_step, spec, loaded), params)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        places.choose(spec.model, spec.sharding, mesh).of_state(shapes, mesh),
    )


def before_first_step(
    spec: step_spec.StepSpec, loaded: Sequence[str], params: step_spec.Params
) -> train_step.TrainState:
    """The state before the first step, which keeps the initial weights where training interpolates."""
    interpolation = spec.interpolation
    kept = loaded if interpolation.loss_weight or interpolation.export < 1 else ()
    return train_step.init_state(spec, params, {path: params[path] for path in kept})


def make(spec: step_spec.StepSpec, start: initial.Initial, mesh: Mesh) -> train_step.TrainState:
    """The state before the first step, spread over the devices."""
    described = describe(spec, start.params, start.loaded, mesh)
    make_spread = jax.jit(
        functools.partial(before_first_step, spec, start.loaded),
        out_shardings=jax.tree.map(lambda leaf: leaf.sharding, described),
    )
    return make_spread(start.params)
