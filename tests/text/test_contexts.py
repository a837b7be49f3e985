"""Text towers that take more or fewer tokens than CLIP's 77: every command treats them alike."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
import torch_reference

from actionclip_jax import cli, config, sharding
from actionclip_jax.checkpoints import export, load, model_directory
from actionclip_jax.inference import encoder, predict
from actionclip_jax.training import setup

LABELS = ("archery", "surfing " * 28 + "a wave")  # the second has 32 tokens with its markers


@pytest.fixture(scope="module", params=[20, 64, 248])
def weights(request, tmp_path_factory):
    """A model of another context, read from where transformers wrote it and proven to equal it."""
    model = dataclasses.replace(tiny.model_config(), text=config.TextConfig(49408, request.param, 128, 2, 2))
    path = tmp_path_factory.mktemp("context")
    torch_reference.hugging_clip(model).save_pretrained(path / "hugging")
    assert cli.main(["convert", str(path / "hugging"), str(path / "model"), "--verify"]) == 0
    return model_directory.load(path / "model")


def table_of_training(weights):
    run = config.TrainConfig(model=weights.model, objective=config.ObjectiveConfig(templates="none"))

    class Clips:
        labels = LABELS

    return setup.token_table(run, weights.tokenizer, Clips)


def test_labels_fit_or_are_refused_alike_in_predict_evaluate_and_train(weights):
    model = predict.Predictor(weights, config.ComputeConfig())
    tested = encoder.VideoTextEncoder(weights, config.ComputeConfig(), sharding.make_mesh())
    ways = (
        lambda: model.encode_classes(LABELS, "none"),
        lambda: tested.encode_classes(LABELS, "none"),
        lambda: table_of_training(weights),
    )
    if weights.model.text.context < 32:
        for way in ways:
            with pytest.raises(ValueError, match=r"at most 20 tokens(.|\n)* needs 32"):
                way()
        return
    ours, theirs, tokens = (way() for way in ways)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (tokens.argmax(axis=-1) == [[2], [31]]).all()


def test_training_refuses_labels_that_are_the_same_text(weights):
    class Clips:
        labels = ("archery", "Archery")

    run = config.TrainConfig(model=weights.model)
    with pytest.raises(ValueError, match="'archery' and 'Archery' are the same text"):
        setup.token_table(run, weights.tokenizer, Clips)


def test_a_model_directory_keeps_its_context(weights, tmp_path):
    export.export(weights, tmp_path / "back", "huggingface", towers_only=False, overwrite=False)
    told = json.loads((tmp_path / "back" / "config.json").read_text())["text_config"]
    assert told["max_position_embeddings"] == weights.model.text.context
    assert load.read_any(tmp_path / "back").model == weights.model
