"""Tiny training steps on random clips, for the tests of the step."""

import dataclasses
import functools

import jax
import numpy as np
import tiny

from actionclip_jax import config, sharding
from actionclip_jax.models import action_clip
from actionclip_jax.training import first_state, places, step_spec, train_step

CLASSES, TEMPLATES, LENGTH, ROWS = 5, 3, 8, 16


def make_spec(**changes):
    """A tiny Transf model trained with large steps, so that mistakes show.

    Adam's eps is above the rounding of the gradients (about 1e-9), which would otherwise come out as whole steps.
    """
    parts = {
        "model": tiny.model_config("Transf"),
        "compute": config.ComputeConfig(),
        "augment": config.NO_AUGMENTATION,
        "objective": config.ObjectiveConfig(),
        "optim": config.OptimConfig(lr=1e-4, eps=1e-5),
        "interpolation": config.InterpolationConfig(),
        "sharding": config.ShardingConfig(),
        "steps": 20,
        "warmup": 2,
        "seed": 3,
    }
    return step_spec.StepSpec(**parts | changes)


def change(spec, part, **changes):
    """The spec with other fields in one part."""
    return dataclasses.replace(spec, **{part: dataclasses.replace(getattr(spec, part), **changes)})


def make_texts():
    """Token ids [C, P, L], each text ending with the largest id."""
    rng = np.random.default_rng(7)
    texts = rng.integers(1, 49000, (CLASSES, TEMPLATES, LENGTH)).astype(np.int32)
    texts[:, :, 0] = 49406
    texts[:, :, -1] = 49407
    return texts


def make_batch(number, rows=ROWS):
    rng = np.random.default_rng(number)
    size = tiny.model_config().image.size
    return {
        "video": rng.integers(0, 256, (rows, tiny.FRAMES, size, size, 3), np.uint8),
        "label": rng.integers(0, CLASSES, rows).astype(np.int32),
    }


def make_params(spec, seed=0):
    return tiny.random_params(spec.model, seed)


def run(spec, steps, *, mesh=None, params=None, texts=None, batches=None):
    """Trains on consecutive batches; returns the state and the metrics of every step."""
    mesh = mesh or sharding.make_mesh(jax.devices()[:1])
    params = make_params(spec) if params is None else params
    with jax.set_mesh(mesh):
        params = jax.device_put(params, places.choose(spec.model, spec.sharding, mesh).kept)
        init, step = jit(spec, mesh)
        state = init(params, params if spec.interpolation.loss_weight else {})
        texts = jax.device_put(make_texts() if texts is None else texts, sharding.everywhere(mesh))
        history, compiled = [], set()
        for number in range(steps):
            batch = make_batch(number) if batches is None else batches[number]
            with jax.transfer_guard("disallow"):
                state, metrics = step(state, sharding.place_batch(batch, mesh), texts)
            history.append(jax.device_get(metrics))
            compiled.add(step._cache_size())
        assert len(compiled) <= 1, "a second compilation"
    return state, history


@functools.lru_cache(maxsize=8)
def jit(spec, mesh):
    """What makes the state and the step, compiled once for several tests."""
    shapes = action_clip.param_shapes(spec.model)
    params = {path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()}
    init = functools.partial(train_step.init_state, spec)
    state = jax.eval_shape(init, params, params if spec.interpolation.loss_weight else {})
    state_places = places.choose(spec.model, spec.sharding, mesh).of_state(state, mesh)
    step = train_step.make_train_step(spec, mesh)
    return (
        jax.jit(init, out_shardings=state_places),
        jax.jit(step, donate_argnums=0, out_shardings=(state_places, sharding.everywhere(mesh))),
    )


def assert_same_training(first, second, rtol=1e-5):
    """Losses and gradient norms of every step, and where the weights have got to."""
    (state, history), (other, others) = first, second
    for ours, theirs in zip(history, others, strict=True):
        for name in ("loss", "gradient_norm", "param_norm", "logit_scale"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=rtol, err_msg=name)
    for path, value in other.params.items():
        assert_close(path, state.params[path], value, rtol)


def assert_close(path, ours, theirs, rtol):
    """Equal up to `rtol` of the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if path.endswith("qkv/bias"):  # a key's bias changes no softmax: its gradient is nothing but rounding
        ours, theirs = ours[..., [0, 2], :, :], theirs[..., [0, 2], :, :]
    np.testing.assert_allclose(ours, theirs, atol=rtol * max(np.abs(theirs).max(), 1e-2), rtol=0, err_msg=path)


def compile_step(spec, mesh, rows):
    """The compiled step for that many clips, from shapes alone."""
    with jax.set_mesh(mesh):
        shapes = action_clip.param_shapes(spec.model)
        params = {path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()}
        state = first_state.describe(spec, params, (), mesh)
        texts = jax.ShapeDtypeStruct(make_texts().shape, np.int32, sharding=sharding.everywhere(mesh))
        sample = config.SampleConfig(frames=tiny.FRAMES, size=spec.model.image.size)
        return train_step.trace_step(spec, mesh, state, texts, sample, rows).lower().compile()
