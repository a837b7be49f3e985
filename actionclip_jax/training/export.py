"""What a run ends with: the model directory."""

import pathlib

import jax
import numpy as np
from jax.sharding import Mesh

from actionclip_jax import config, sharding
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.training import optim, places, setup, step_spec, train_step


def final_weights(run: config.TrainConfig, mesh: Mesh, state: train_step.TrainState) -> step_spec.Params:
    """What is evaluated and exported: averaged if averages are kept, and moved towards the initial weights."""
    params = state.ema or state.params
    if weight := 1 - run.interpolation.export:  # of the initial ones
        params = optim.interpolate(state.initial, params, weight)
    return jax.device_put(params, places.choose(run.model, run.sharding, mesh).used)


def export_model(work: setup.Setup, state: train_step.TrainState, steps: int) -> pathlib.Path:
    """Writes WORKDIR/model, whose weights are gathered on this host one by one; `steps` the run has done."""
    gather = jax.jit(lambda array: array, out_shardings=sharding.everywhere(work.mesh))
    params: dict[str, np.ndarray | jax.Array] = {
        path: np.asarray(gather(array)) for path, array in final_weights(work.run, work.mesh, state).items()
    }
    provenance = {"source": "training", "steps": steps, "initial": work.provenance, "config": config.to_dict(work.run)}
    model = work.workdir / "model"
    weights = model_directory.Weights(work.run.model, params, work.tokenizer, provenance, {})
    model_directory.save(model, weights, overwrite=True)
    return model
