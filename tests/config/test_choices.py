"""What can be chosen by name is listed in config, where nothing heavy is imported, and exists where it is used."""

import typing

import jax.numpy as jnp

from actionclip_jax import config, text
from actionclip_jax.config import train
from actionclip_jax.data import sources
from actionclip_jax.data.records import encode, reader
from actionclip_jax.models import blocks, layers, temporal
from actionclip_jax.training import losses


def test_every_head_activation_and_remat_policy_exists():
    assert tuple(temporal.HEADS) == config.HEADS
    assert {*layers.ACTIVATIONS} - {"relu"} == {*config.ACTIVATIONS}  # which only PyTorch's encoder layer has
    assert ("everything", *blocks.REMAT_POLICIES) == config.REMAT  # without a policy everything is saved


def test_every_loss_is_another():
    contrastive = [name for name in typing.get_args(train.Loss) if name != "multi_label"]
    video, words, labels = jnp.eye(3, 4), jnp.eye(3, 4)[::-1], jnp.array([0, 0, 1])
    values = {float(losses.contrastive(video, words, labels, jnp.float32(5.0), name)[0]) for name in contrastive}
    assert len(values) == len(contrastive)


def test_every_kind_of_data_set_and_of_stored_clips_exists():
    assert {"auto", "records", *sources.KINDS} == {*config.SOURCES}
    assert {*encode.GROUPS} == {*reader.DECODERS} == {*config.STORAGES}


def test_the_usual_prompts_exist():
    assert config.ObjectiveConfig().templates in text.TEMPLATES
