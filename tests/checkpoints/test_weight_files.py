"""What is wrong inside weight files and model directories is refused by name, and no number is made of it."""

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import torch_reference

from actionclip_jax import cli, text
from actionclip_jax.checkpoints import errors, load, torch_files
from actionclip_jax.checkpoints import model_directory as checkpoint

MODEL = tiny.model_config()


@pytest.fixture(scope="module")
def state():
    """A small model's tensors by OpenAI's names."""
    return torch_reference.openai_state(MODEL)


def refusal(name):
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(name, activation="gelu")
    return str(caught.value)


def write_model(directory, params):
    """A model directory with these parameters."""
    checkpoint.save(directory, checkpoint.Weights(MODEL, params, text.default_tokenizer(), {}, {}))
    return directory


def test_weights_that_are_not_finite_are_refused_each_by_name(state, tmp_path, capsys):
    proj = state["visual.proj"].clone()
    proj[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    wrong = {"visual.proj": proj, "logit_scale": torch.tensor(float("inf"))}
    wrong["ln_final.bias"] = torch.full((128,), 1e300, dtype=torch.float64)  # infinite once it is float32
    torch.save(state | wrong, tmp_path / "clip.pt")
    assert cli.main(["convert", str(tmp_path / "clip.pt"), str(tmp_path / "model"), "--activation", "gelu"]) == 2
    said = capsys.readouterr().err
    for name, count in (("visual.proj", "3 of 8192"), ("logit_scale", "1 of 1"), ("ln_final.bias", "128 of 128")):
        assert f"'{name}' holds numbers that are not finite ({count})" in said
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_that_are_not_finite_are_refused(dtype, state, tmp_path):
    half = {name: tensor.to(dtype) for name, tensor in state.items()}
    torch.save(half | {"visual.class_embedding": torch.full((128,), float("nan"), dtype=dtype)}, tmp_path / "clip.pt")
    assert "'visual.class_embedding' holds numbers that are not finite (128 of 128)" in refusal(tmp_path / "clip.pt")


def test_a_model_directory_that_is_not_finite_is_refused(tmp_path):
    params = tiny.random_params(MODEL)
    params["logit_scale"] = np.array(np.nan, np.float32)
    write_model(tmp_path / "model", params)
    with pytest.raises(errors.ModelDirectoryError, match=r"not finite: logit_scale \(1 of 1\)"):
        checkpoint.load(tmp_path / "model")


def test_complex_weights_are_refused_as_they_would_lose_a_part(state, tmp_path):
    torch.save(state | {"visual.proj": state["visual.proj"].to(torch.complex64)}, tmp_path / "clip.pt")
    assert "'visual.proj' holds complex64 numbers, expected real floating point" in refusal(tmp_path / "clip.pt")


@pytest.fixture
def shards(tmp_path):
    """A directory with weights in two files and an index, by transformers' names."""
    hugging = torch_reference.hugging_clip(MODEL)
    hugging.save_pretrained(tmp_path, max_shard_size="26MB")
    first, second = sorted(tmp_path.glob("model-*.safetensors"))
    return first, second


def test_a_tensor_in_two_shards_is_refused(shards):
    first, second = shards
    held = safetensors.torch.load_file(second)
    name, stale = next(iter(safetensors.torch.load_file(first).items()))
    safetensors.torch.save_file(held | {name: stale * 3}, second)
    assert f"'{name}' is in {first.name} and {second.name}" in refusal(first.parent)


def test_a_tensor_that_is_not_where_the_index_says_is_refused(shards):
    first, second = shards
    index = first.parent / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    moved = next(name for name, file in told["weight_map"].items() if file == first.name)
    told["weight_map"] |= {moved: second.name, "lost.weight": first.name}
    index.write_text(json.dumps(told))
    said = refusal(first.parent)
    assert f"'{moved}' is in {first.name}, the index says {second.name}" in said
    assert f"'lost.weight' is in none of them, the index says {first.name}" in said


def test_which_of_two_weight_files_is_read_is_said_and_kept(state, tmp_path, told):
    torch_files.write(tmp_path / "open_clip_model.safetensors", torch_files.arrays(state))
    torch.save({name: tensor * 2 for name, tensor in state.items()}, tmp_path / "open_clip_pytorch_model.bin")
    weights = load.read_any(tmp_path, activation="gelu")
    np.testing.assert_array_equal(weights.params["image/projection/kernel"], state["visual.proj"])
    assert "note: reads open_clip_model.safetensors; open_clip_pytorch_model.bin beside it is not read" in told
    assert weights.provenance["file"] == "open_clip_model.safetensors"
    told.clear()
    load.read_any(tmp_path / "open_clip_model.safetensors", activation="gelu")
    assert not any("beside it is not read" in line for line in told)  # the user chose


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model", tiny.random_params(MODEL))


def edit_config(directory, change):
    """Changes what config.json says."""
    described = json.loads((directory / "config.json").read_text())
    change(described)
    (directory / "config.json").write_text(json.dumps(described))


EDITS = {
    "activation": (lambda told: told["model"].update(activation="gelu"), "describes another model than was written"),
    "mean": (lambda told: told["model"]["image"].update(mean=[0.5] * 3), "describes another model than was written"),
    "no digests": (lambda told: told.pop("digests"), "has no digests of the weights: it is damaged"),
    "older": (lambda told: told.pop("model_digest"), None),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_changed_configuration_of_a_model_directory_is_refused(edit, model_directory, tmp_path):
    change, message = EDITS[edit]
    shutil.copytree(model_directory, tmp_path / "model")
    edit_config(tmp_path / "model", change)
    if message is None:
        assert checkpoint.load(tmp_path / "model").model == MODEL
        return
    with pytest.raises(errors.ModelDirectoryError, match=message):
        checkpoint.load(tmp_path / "model")


def test_a_model_directory_without_provenance_says_so(model_directory, tmp_path):
    shutil.copytree(model_directory, tmp_path / "model")
    (tmp_path / "model" / "provenance.json").unlink()
    with pytest.raises(errors.ModelDirectoryError, match=r"model directory: provenance\.json is missing$"):
        checkpoint.load(tmp_path / "model")


def test_merges_without_a_vocabulary_are_said_not_to_be_read(tmp_path, told):
    torch_reference.hugging_clip(MODEL).save_pretrained(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    load.read_any(tmp_path)
    assert any("merges.txt beside it is not read" in line and "CLIP's own tokenizer" in line for line in told)


def test_a_config_of_other_names_than_the_weights_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    assert "config.json describes a model by transformers' names, and pytorch_model.bin has" in refusal(tmp_path)
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "open_clip_pytorch_model.bin")
    load.read_any(tmp_path, activation="gelu")  # LAION keeps both kinds of weights in one directory
