"""The step of a run from shapes alone: of its data, what `config.data.expect` says, and of its weights nothing."""

import jax
import numpy as np

from actionclip_jax import config, sharding, text
from actionclip_jax.models import action_clip
from actionclip_jax.training import first_state, setup, step_spec, train_step


def trace(run: config.TrainConfig, mesh: jax.sharding.Mesh) -> jax.stages.Traced:
    """The step of a run on the mesh that is set, whose devices need not be here.

    Raises:
        ValueError: the model or the batch cannot be spread over the devices in this way, or the configuration does not
            say how large the training set is.
    """
    expected, batch_size = run.data.expect, run.data.loader.batch_size
    for name in ("clips", "classes"):
        if not getattr(expected, name):
            raise ValueError(
                f"data.expect.{name} is 0: say how many the training set has (--config.data.expect.{name}=N)"
            )
    if batch_size % run.optim.accumulate:
        raise ValueError(f"{batch_size} clips cannot be divided into optim.accumulate = {run.optim.accumulate} parts")
    sharding.check_rows(batch_size // run.optim.accumulate, mesh)
    spec = setup.make_spec(run, expected.clips, label_frequency=1 / expected.classes)
    state, texts = describe_state(spec, mesh), describe_texts(run, mesh)
    return train_step.trace_step(spec, mesh, state, texts, run.data.sample, batch_size)


def describe_state(spec: step_spec.StepSpec, mesh: jax.sharding.Mesh) -> train_step.TrainState:
    """Shapes and places of the state of a run that starts from a CLIP."""
    shapes = action_clip.param_shapes(spec.model)
    params = {path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()}
    loaded = [path for path in params if not path.startswith("temporal/")]
    return first_state.describe(spec, params, loaded, mesh)


def describe_texts(run: config.TrainConfig, mesh: jax.sharding.Mesh) -> jax.ShapeDtypeStruct:
    """Shape and place of all prompts or, of a frozen text tower, of their embeddings."""
    prompts = (run.data.expect.classes, len(text.load_templates(run.objective.templates)))
    everywhere = sharding.everywhere(mesh)
    if run.objective.text == "frozen":
        return jax.ShapeDtypeStruct((*prompts, run.model.embed_width), np.float32, sharding=everywhere)
    return jax.ShapeDtypeStruct((*prompts, text_length(run)), np.int32, sharding=everywhere)


def text_length(run: config.TrainConfig) -> int:
    """Tokens of a prompt: the text tower takes no more than its context, nor fewer where it sees the padding."""
    spec = run.model.text
    return spec.context if text.sees_padding(spec) else min(run.data.expect.text_tokens, spec.context)
