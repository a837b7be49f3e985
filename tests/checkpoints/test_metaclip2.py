"""MetaCLIP 2 in transformers' format, and CLIP whose end token is not the largest id."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.torch
import siglip_reference
import tiny
import tiny_tokenizers
import torch
import torch_reference
import transformers

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, export, formats, load, model_directory, torch_files, verify


def proven(source, directory):
    """Converts, and checks the features against PyTorch more strictly than --verify."""
    weights = load.read_any(source)
    model_directory.save(directory, weights)
    for difference in verify.verify(source, directory, None):
        assert difference.relative <= 1e-5 and difference.absolute <= 1e-4, difference
    return weights


def returned(weights, directory):
    export.export(weights, directory, "huggingface", towers_only=False, overwrite=False)
    return directory


def same_bits(first, second):
    first, second = torch_files.read(first).tree, torch_files.read(second).tree
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype and array.tobytes() == second[name].tobytes(), name
    return True


def change(directory, **changes):
    file = directory / "config.json"
    told = json.loads(file.read_text())
    for name, value in changes.items():
        told[name] = told[name] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(told))
    return directory


def refusal(source):
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(source)
    return str(caught.value)


def clip_with_another_end(directory):
    """A CLIP with a tokenizer whose end token is the third of all; returns the model."""
    spec = tiny_tokenizers.save("metaclip2", directory)
    text = dataclasses.replace(tiny.model_config().text, vocabulary=spec.vocabulary)
    model = torch_reference.hugging_clip(dataclasses.replace(tiny.model_config(), text=text))
    model.save_pretrained(directory)
    change(directory, text_config={"eos_token_id": 2})
    return model


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_metaclip_2_equals_torch_and_returns_bit_for_bit(activation, tmp_path):
    siglip_reference.save_metaclip2(tmp_path, hidden_act=activation)
    change(tmp_path, vision_config={"hidden_act": activation})
    weights = proven(tmp_path, tmp_path / "model")
    text = weights.model.text
    assert weights.model.activation == activation
    assert (text.pooling, text.end, text.pad, text.cleaning, text.mlp_width) == ("end", 2, 1, "whitespace", 72)
    assert same_bits(tmp_path, returned(weights, tmp_path / "back"))
    assert load.read_any(tmp_path / "back").model == weights.model
    model, info = transformers.MetaClip2Model.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(info.values()), info
    assert isinstance(model, transformers.MetaClip2Model) and model.config.text_config.eos_token_id == 2


def test_metaclip_2_squashes_pictures_where_its_file_says_so(tmp_path):
    siglip_reference.save_metaclip2(tmp_path)
    square = {"height": 32, "width": 32}
    told = {"image_processor_type": "CLIPImageProcessor", "size": square, "crop_size": square}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    assert proven(tmp_path, tmp_path / "model").model.image.resize == "squash"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "metaclip"}, "model_type 'metaclip': only"),
        ({"text_config": {"model_type": "clip_text_model"}}, "model_type 'metaclip_2', and text_config.model_type"),
        ({"text_config": {"eos_token_id": [2, 3]}}, "text_config.eos_token_id is [2, 3]: expected one of 36 tokens"),
        ({"text_config": {"eos_token_id": 36}}, "text_config.eos_token_id is 36: expected one of 36 tokens"),
        ({"text_config": {"layer_norm_eps": 1e-6}}, "the towers differ in layer_norm_eps"),
        ({"text_config": {"intermediate_size": 128}}, "text_config.intermediate_size is 128, the weights have 72"),
        ({"projection_dim": 512}, "projection_dim is 512, the weights have 24"),
    ],
)
def test_a_config_of_another_metaclip_2_is_refused_by_name(changes, message, tmp_path):
    siglip_reference.save_metaclip2(tmp_path)
    assert message in refusal(change(tmp_path, **changes))


def test_its_vocabulary_alone_says_how_texts_are_read(tmp_path):
    described = transformers.MetaClip2Config(
        vision_config=siglip_reference.VISION | {"image_size": 32, "hidden_size": 64, "projection_dim": 24},
        text_config={**siglip_reference.TEXT, "hidden_size": 64, "vocab_size": 901_629, "projection_dim": 24},
        projection_dim=24,
    )
    with torch.device("meta"):
        shapes = transformers.MetaClip2Model(described).state_dict()
    tensors = {name: np.broadcast_to(np.float32(0), tensor.shape) for name, tensor in shapes.items()}
    recognised = formats.recognise(torch_files.Source("x", tmp_path / "model.safetensors", tensors), "gelu")
    text = recognised.model.text
    assert (text.pooling, text.end, text.pad, text.cleaning) == ("end", 2, 1, "whitespace")
    assert any("texts as MetaCLIP 2's, whose vocabulary it has" in note for note in recognised.notes)


def test_a_clip_reads_a_text_at_the_end_token_that_its_config_says(tmp_path):
    clip_with_another_end(tmp_path)
    change(tmp_path, text_config={"eos_token_id": 3})  # the unknown letter of these texts
    told = json.loads((tmp_path / "tokenizer.json").read_text())
    told["post_processor"]["single"][-1]["SpecialToken"]["id"] = "<unk>"
    told["post_processor"]["special_tokens"]["<unk>"] = {"id": "<unk>", "ids": [3], "tokens": ["<unk>"]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(told))
    weights = proven(tmp_path, tmp_path / "model")
    assert (weights.model.text.pooling, weights.model.text.end) == ("end", 3)
    assert weights.model.text.cleaning == "whitespace"  # its tokenizer is not CLIP's, and tells capitals apart
    assert same_bits(tmp_path, returned(weights, tmp_path / "back"))
    again = load.read_any(tmp_path / "back")
    assert (again.model.text.pooling, again.model.text.end, again.model.text.cleaning) == ("end", 3, "whitespace")


def test_a_clip_of_clips_own_tokenizer_with_tokens_behind_the_end_keeps_its_cleaning(tmp_path):
    model = tiny.model_config()
    longer = dataclasses.replace(model, text=dataclasses.replace(model.text, vocabulary=49_416))
    torch_reference.hugging_clip(longer).save_pretrained(tmp_path)
    change(tmp_path, text_config={"eos_token_id": 49_407})
    recognised = formats.recognise(torch_files.read(tmp_path))
    text = recognised.model.text
    assert (text.pooling, text.end, text.cleaning) == ("end", 49_407, "lower")
    rows = formats.huggingface.describe(recognised.model)
    assert (rows.model_type, rows.text_config.eos_token_id) == ("clip", 49_407)


def test_two_means_the_largest_id_to_clip_and_itself_to_metaclip_2(tmp_path):
    model = dataclasses.replace(config.SIZES["MetaCLIP2-H/14"])
    assert formats.huggingface.describe(model).model_type == "metaclip_2"
    lower = dataclasses.replace(model, text=dataclasses.replace(model.text, cleaning="lower"))
    problems = export.not_expressible(lower, "huggingface")
    assert problems == [
        "it means text.pooling 'largest', the model has 'end'",
        "it means text.end 0, the model has 2",
    ]


def test_towers_that_differ_in_their_activation_are_followed(tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path)
    change(tmp_path, text_config={"hidden_act": "gelu_pytorch_tanh"}, vision_config={"hidden_act": "gelu"})
    weights = proven(tmp_path, tmp_path / "model")
    assert (weights.model.activation, weights.model.text.activation) == ("gelu", "gelu_tanh")
    assert load.read_any(returned(weights, tmp_path / "back")).model == weights.model


def test_clips_with_another_width_of_their_mlp_equal_torch(tmp_path):
    model = tiny.model_config()
    image, text = (dataclasses.replace(part, mlp_width=200) for part in (model.image, model.text))
    torch_reference.hugging_clip(dataclasses.replace(model, image=image, text=text)).save_pretrained(tmp_path)
    weights = proven(tmp_path, tmp_path / "model")
    assert (weights.model.image.mlp_width, weights.model.text.mlp_width) == (200, 200)
    assert load.read_any(returned(weights, tmp_path / "back")).model == weights.model


@pytest.mark.parametrize("name", ["SigLIP2-B/16", "PE-Core-B/16", "PE-Core-G/14@448"])
def test_what_is_no_clip_is_not_written_in_openais_names(name, tmp_path):
    weights = model_directory.Weights(config.SIZES[name], {}, None, {}, {})
    with pytest.raises(errors.CheckpointError, match="cannot say this model"):
        export.export(weights, tmp_path / "x.pt", "openai", towers_only=False, overwrite=False)


def test_perception_encoder_cannot_be_said_by_transformers(tmp_path):
    weights = model_directory.Weights(config.SIZES["PE-Core-B/16"], {}, None, {}, {})
    with pytest.raises(errors.CheckpointError, match=r"it means image\.class_token False, the model has True"):
        export.export(weights, tmp_path / "x", "huggingface", towers_only=False, overwrite=False)


def test_metaclip_2_cannot_be_said_in_openais_names(tmp_path):
    siglip_reference.save_metaclip2(tmp_path)
    weights = load.read_any(tmp_path)
    with pytest.raises(errors.CheckpointError) as caught:
        export.export(weights, tmp_path / "x.pt", "openai", towers_only=False, overwrite=False)
    assert "it means text.pooling 'largest', the model has 'end'" in str(caught.value)
    assert "it means image.mlp_width 0, the model has 100" in str(caught.value)


def test_weights_by_both_names_do_not_become_one_model(tmp_path):
    siglip_reference.save_metaclip2(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state["vision_model.head.probe"] = torch.zeros(1, 1, 48)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    assert "not a whole SigLIP" in refusal(tmp_path)
