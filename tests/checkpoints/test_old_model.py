"""A model directory that version 0.1.0 wrote loads, and gives what it gave then."""

import pathlib

import jax.numpy as jnp
import numpy as np

import actionclip_jax
from actionclip_jax import config
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.models import action_clip

OLD = pathlib.Path(__file__).parent / "old_model"


def test_an_old_model_directory_loads_and_encodes_as_it_did():
    weights = model_directory.load(OLD)  # which compares a digest of every array
    assert weights.model.temporal.head == "Transf" and weights.provenance == {"source": "random", "seed": 0}
    np.testing.assert_array_equal(weights.unused["left.over"], np.arange(3, dtype=np.float32))
    frames = (np.arange(2 * 32 * 32 * 3) * 7 % 256).astype(np.uint8).reshape(1, 2, 32, 32, 3)
    model = action_clip.from_params(weights.model, config.ComputeConfig(), weights.params)
    video = model.encode_video(jnp.asarray(frames))
    np.testing.assert_allclose(video, [[-0.9072163, 0.18308796, 0.29203072, 0.24115449]], atol=1e-5)
    text = actionclip_jax.load(OLD).encode_text(["a red square moving left"])
    np.testing.assert_allclose(text, [[-0.04191492, 0.8903563, -0.04082192, -0.45148915]], atol=1e-5)
