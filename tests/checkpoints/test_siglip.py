"""transformers' SigLIP, and SigLIP 2 of a fixed resolution: equal to PyTorch, both ways, and every setting known."""

import json

import numpy as np
import pytest
import safetensors.torch
import siglip_reference
import tiny
import torch
import transformers

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, export, formats, load, model_directory, torch_files, verify

PICTURES = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 35, "width": 35}, "resample": 3}
PICTURES |= {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}


def proven(source, directory):
    """Converts, and checks the features against PyTorch more strictly than --verify."""
    weights = load.read_any(source)
    model_directory.save(directory, weights)
    for difference in verify.verify(source, directory, None):
        assert difference.relative <= 1e-5 and difference.absolute <= 1e-4, difference
    return weights


def back(weights, directory, target="huggingface"):
    export.export(weights, directory, target, towers_only=False, overwrite=False)
    return torch_files.read(directory).tree


def same_bits(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name
    return True


def change(directory, **changes):
    """Other settings in `config.json`; None takes one out."""
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


@pytest.fixture
def hugging(tmp_path):
    siglip_reference.save_siglip(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_its_features_and_logits_equal_torch_and_its_tensors_return_bit_for_bit(kind, tmp_path):
    siglip_reference.save_siglip(tmp_path, kind)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PICTURES | {"resample": 2}))
    weights = proven(tmp_path, tmp_path / "model")
    image, text = weights.model.image, weights.model.text
    assert (image.size, image.unread, image.grid, image.pool_heads) == (35, 3, 4, 4)
    assert (image.resize, image.filter, image.mean) == ("squash", "bilinear", (0.5, 0.5, 0.5))
    assert (text.pad, text.cleaning) == ({"siglip": 1, "siglip2": 0}[kind], "canonical")
    assert same_bits(torch_files.read(tmp_path).tree, back(weights, tmp_path / "back"))
    assert load.read_any(tmp_path / "back").model == weights.model


def test_transformers_reads_what_is_written_for_it_with_equal_outputs(hugging):
    weights = load.read_any(hugging)
    back(weights, hugging / "back")
    first = transformers.SiglipModel.from_pretrained(hugging)
    again, info = transformers.SiglipModel.from_pretrained(hugging / "back", output_loading_info=True)
    assert not any(info.values()), info
    processor = transformers.AutoProcessor.from_pretrained(hugging / "back")
    pictures = [np.full((50, 40, 3), 255, np.uint8)]
    seen = processor(text=["a cat"], images=pictures, padding="max_length", return_tensors="pt")
    assert seen["input_ids"].shape == (1, 64)
    assert seen["pixel_values"].shape == (1, 3, 35, 35) and float(seen["pixel_values"].min()) == 1
    with torch.inference_mode():
        outputs = [model.eval()(**seen).logits_per_image for model in (first, again)]
    assert torch.equal(*outputs)


def test_half_precision_and_unused_tensors_return_too(hugging):
    state = safetensors.torch.load_file(hugging / "model.safetensors")
    state = {name: tensor.bfloat16() if "encoder" in name else tensor.half() for name, tensor in state.items()}
    state["vision_model.embeddings.position_ids"] = torch.arange(16)[None]
    safetensors.torch.save_file(state, hugging / "model.safetensors")
    weights = load.read_any(hugging)
    assert same_bits(torch_files.read(hugging).tree, back(weights, hugging / "back"))


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_activations_eps_and_heads_are_those_of_the_config(activation, hugging):
    change(hugging, vision_config={"hidden_act": activation, "layer_norm_eps": 1e-5, "num_attention_heads": 6})
    change(hugging, text_config={"layer_norm_eps": 1e-5, "num_attention_heads": 4})
    model = proven(hugging, hugging / "model").model
    assert (model.activation, model.text.activation, model.norm_eps) == (activation, "gelu_tanh", 1e-5)
    assert (model.image.heads, model.image.pool_heads, model.text.heads) == (6, 6, 4)
    back(load.read_any(hugging), hugging / "back")
    assert load.read_any(hugging / "back").model == model


def test_what_a_config_leaves_out_is_transformers_own(hugging):
    told = json.loads((hugging / "config.json").read_text())
    for name in ("hidden_act", "layer_norm_eps", "vision_use_head", "attention_dropout"):
        told["vision_config"].pop(name), told["text_config"].pop(name, None)
    (hugging / "config.json").write_text(json.dumps(told))
    model = proven(hugging, hugging / "model").model
    assert (model.activation, model.norm_eps, model.text.activation) == ("gelu_tanh", 1e-6, "same")


def test_an_activation_that_is_told_is_that_of_both_towers(hugging, told):
    change(hugging, text_config={"hidden_act": "gelu"})
    model = load.read_any(hugging, activation="quick_gelu").model
    assert (model.activation, model.text.activation) == ("quick_gelu", "same")
    assert any("activation quick_gelu, as it was told" in line for line in told)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "clip"}, "model_type 'clip', and vision_config.model_type 'siglip_vision_model'"),
        ({"model_type": "siglip2"}, "model_type 'siglip2', SigLIP 2 of variable resolution (NaFlex)"),
        ({"model_type": "altclip"}, "model_type 'altclip': only 'clip' or 'metaclip_2' or 'siglip' is read"),
        ({"vision_config": {"model_type": "siglip2_vision_model"}}, "vision_config.model_type 'siglip2_vision_model'"),
        ({"auto_map": "evil.Model"}, "auto_map"),
        ({"vision_config": {"hidden_act": "relu"}}, "vision_config.hidden_act is 'relu': only"),
        ({"text_config": {"hidden_act": "gelu_new"}}, "text_config.hidden_act is 'gelu_new': only"),
        ({"text_config": {"layer_norm_eps": 1e-5}}, "the towers differ in layer_norm_eps: 1e-06 and 1e-05"),
        ({"vision_config": {"vision_use_head": False}}, "vision_config.vision_use_head is False: only True"),
        ({"vision_config": {"attention_dropout": 0.1}}, "vision_config.attention_dropout is 0.1: only 0"),
        ({"text_config": {"attention_dropout": 0.1}}, "text_config.attention_dropout is 0.1: only 0"),
        ({"text_config": {"projection_size": 32}}, "text_config.projection_size is 32, the weights have 48"),
        ({"vision_config": {"image_size": 224}}, "vision_config.image_size is 224, the weights have 32"),
        ({"vision_config": {"image_size": 31}}, "vision_config.image_size is 31, the weights have 32"),
        ({"vision_config": {"image_size": [35, 43]}}, "vision_config.image_size is [35, 43], the weights have 32"),
        ({"vision_config": {"patch_size": 16}}, "vision_config.patch_size is 16, the weights have 8"),
        ({"vision_config": {"num_channels": 4}}, "vision_config.num_channels is 4, the weights have 3"),
        ({"vision_config": {"hidden_size": 64}}, "vision_config.hidden_size is 64, the weights have 48"),
        ({"vision_config": {"intermediate_size": 192}}, "vision_config.intermediate_size is 192, the weights have 100"),
        ({"vision_config": {"num_hidden_layers": 3}}, "vision_config.num_hidden_layers is 3, the weights have 2"),
        ({"text_config": {"vocab_size": 32000}}, "text_config.vocab_size is 32000, the weights have 34"),
        ({"text_config": {"max_position_embeddings": 16}}, "text_config.max_position_embeddings is 16, the weights"),
        ({"text_config": {"num_attention_heads": 5}}, "cannot know the heads of a tower of width 32"),
        ({"text_config": {"num_attention_heads": "x"}}, "config.json is not that of a CLIP"),
    ],
)
def test_a_config_that_is_not_followed_is_refused_by_name_and_value(changes, message, hugging):
    assert message in refusal(change(hugging, **changes))


def test_a_whole_number_that_is_the_pixels_of_the_patches_is_followed(hugging):
    image = load.read_any(change(hugging, vision_config={"image_size": [32, 32]})).model.image
    assert (image.size, image.unread) == (32, 0)


def test_pixels_of_another_processor_are_refused(hugging):
    (hugging / "preprocessor_config.json").write_text(json.dumps(PICTURES | {"size": {"height": 32, "width": 32}}))
    assert "size is {'height': 32, 'width': 32}" in refusal(hugging)


def test_naflex_weights_are_refused_without_a_config_too(hugging):
    state = safetensors.torch.load_file(hugging / "model.safetensors")
    name = "vision_model.embeddings.patch_embedding.weight"
    state[name] = state[name].flatten(1)
    safetensors.torch.save_file(state, hugging / "model.safetensors")
    (hugging / "config.json").unlink()
    assert "a linear patch embedding is that of SigLIP 2 of variable resolution (NaFlex)" in refusal(hugging)


@pytest.mark.parametrize("name", ["vision_model.head.probe", "text_model.head.weight", "logit_bias"])
def test_a_tower_alone_is_no_siglip(name, hugging):
    state = safetensors.torch.load_file(hugging / "model.safetensors")
    del state[name]
    safetensors.torch.save_file(state, hugging / "model.safetensors")
    assert f"{name} missing" in (message := refusal(hugging)).replace("' is", "").replace("'", ""), message


def shapes_alone(vision, text):
    """A SigLIP's tensors that hold no numbers of their own, so that they cost no memory."""
    with torch.device("meta"):
        model = transformers.SiglipModel(siglip_reference.siglip_config(vision, text))
    return {name: np.broadcast_to(np.float32(0), tensor.shape) for name, tensor in model.state_dict().items()}


def test_without_a_config_a_published_size_is_taken_for_granted_and_said(tmp_path):
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    text = vision | {"vocab_size": 256000, "projection_size": 1152}
    tensors = shapes_alone(vision | {"image_size": 384, "patch_size": 14}, text)
    source = torch_files.Source("so400m", tmp_path / "model.safetensors", tensors)
    recognised = formats.recognise(source)
    assert recognised.model == config.SIZES["SigLIP2-So400m/14@384"]
    assert config.size_name(recognised.model) in recognised.describe()
    said = " ".join(recognised.notes)
    assert "activation gelu_tanh, LayerNorm eps 1e-06, 16 and 16 heads of attention" in said
    assert "frames of 384 pixels, of which 6 at the right and lower edge are not read" in said


def test_without_a_config_other_heads_and_another_vocabulary_cannot_be_known(hugging):
    (hugging / "config.json").unlink()
    assert "cannot know the heads of a tower of width 48" in refusal(hugging)
    (hugging / "tokenizer.json").unlink()
    assert "cannot know the id of the padding behind a text" in refusal(hugging)


def test_a_damaged_tokenizer_is_named(hugging):
    (hugging / "tokenizer.json").write_text("{}")
    assert "the tokenizer is damaged" in refusal(hugging)


@pytest.mark.parametrize("target", ["openai", "actionclip"])
def test_openais_names_cannot_say_it(target, hugging):
    weights = load.read_any(hugging)
    with pytest.raises(errors.CheckpointError) as caught:
        back(weights, hugging / "out.pt", target)
    for field in (
        "image.class_token True",
        "image.pooling 'class_token'",
        "text.causal True",
        "model.logit_bias False",
    ):
        assert f"it means {field}" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("logit_bias", False), ("image.pool_heads", 2), ("image.rotary", True), ("text.causal", True), ("text.pad", 2)],
)
def test_a_siglip_that_transformers_cannot_say_is_refused_by_name(field, value):
    model = config.SIZES["SigLIP2-B/16"]
    section, _, name = field.rpartition(".")
    part = getattr(model, section) if section else model
    changed = type(part)(**vars(part) | {name: value})
    model = type(model)(**vars(model) | {section: changed}) if section else changed
    weights = model_directory.Weights(model, {}, None, {}, {})
    with pytest.raises(errors.CheckpointError, match=rf"{name} .*, the model has {value}"):
        export.export(weights, "nowhere", "huggingface", towers_only=False, overwrite=False)


def test_a_temporal_head_goes_into_a_directory_and_not_into_these_formats(hugging):
    weights = load.read_any(hugging)
    model = config.checked_model(
        type(weights.model)(**vars(weights.model) | {"temporal": config.TemporalConfig("Transf", heads=8)})
    )
    params = tiny.random_params(model) | weights.params
    with_head = model_directory.Weights(model, params, weights.tokenizer, {"source": "test"}, {})
    model_directory.save(hugging / "model", with_head)
    with pytest.raises(errors.CheckpointError, match="no place for the temporal head Transf"):
        back(model_directory.load(hugging / "model"), hugging / "out")
