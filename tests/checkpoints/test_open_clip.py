"""open_clip's models: read by their settings, equal to open_clip, and written so that open_clip reads them."""

import dataclasses
import json

import numpy as np
import open_clip
import open_clip_models
import pytest
import safetensors.torch
import tiny
import torch
import torch_reference
from slow import slow

from actionclip_jax import config, text
from actionclip_jax.checkpoints import (
    errors,
    export,
    formats,
    load,
    model_directory,
    open_clip_export,
    timm_trunks,
    torch_files,
    verify,
)

HALF = (0.5, 0.5, 0.5)
TANH = {"act_kwargs": {"approximate": "tanh"}}
SMALL = {"norm_kwargs": {"eps": 1e-6}}
PLAIN = {
    "heads of H/14": {"vision": {"width": 160, "head_width": 80}},
    "heads and hidden channels of g/14": {"vision": {"width": 176, "head_width": 88, "mlp_ratio": 4.3637}},
    "heads and hidden channels of bigG/14": {"vision": {"width": 208, "head_width": 104, "mlp_ratio": 4.9231}},
    "hidden channels of a text": {"text": {"mlp_ratio": 3.7362}},
    "no norm before the blocks": {"vision": {"no_ln_pre": True}},
    "tanh in both": {"vision": TANH, "text": TANH},
    "tanh in the text tower": {"text": TANH},
    "quick": {"quick_gelu": True},
    "eps": {"vision": SMALL, "text": SMALL},
    "bias of the text's projection": {"text": {"proj_bias": True}},
    "bias of the logits": {"init_logit_bias": -10},
    "texts that are seen whole": {"text": {"no_causal_mask": True}},
    "texts read at a token": {"text": {"pool_type": "eos", "eos_id": 49407}},
    "texts without punctuation": {"text": {"tokenizer_kwargs": {"clean": "canonicalize"}}},
    "a text tower apart": {"custom_text": True},
}
EXPECTED = {  # what the settings become
    "heads and hidden channels of g/14": lambda model: (model.image.heads, model.image.mlp_width) == (2, 768),
    "heads and hidden channels of bigG/14": lambda model: (model.image.heads, model.image.mlp_width) == (2, 1024),
    "no norm before the blocks": lambda model: not model.image.pre_norm,
    "tanh in both": lambda model: (model.activation, model.text.activation) == ("gelu_tanh", "same"),
    "tanh in the text tower": lambda model: (model.activation, model.text.activation) == ("gelu", "gelu_tanh"),
    "texts that are seen whole": lambda model: not model.text.causal,
    "texts read at a token": lambda model: (model.text.pooling, model.text.end) == ("end", 49407),
    "texts without punctuation": lambda model: model.text.cleaning == "canonical",
}


@pytest.fixture(autouse=True)
def tiny_trunks(monkeypatch):
    for name, trunk in open_clip_models.TRUNKS.items():
        monkeypatch.setitem(timm_trunks.TRUNKS, name, trunk)


def same_bits(first, second):
    first, second = torch_files.read(first).tree, torch_files.read(second).tree
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name
    return True


def proven(source, directory):
    """Converts, and checks the features against open_clip more strictly than --verify."""
    model_directory.save(directory, load.read_any(source))
    for difference in verify.verify(source, directory, None):
        assert difference.relative <= 1e-5, difference
    return model_directory.load(directory)


def returned(weights, source, back):
    """Writes the weights for open_clip, which must be what they came from, and is what open_clip reads."""
    export.export(weights, back, "open_clip", towers_only=False, overwrite=False)
    assert same_bits(source, back)
    assert not any(str(back.parent).encode() in file.read_bytes() for file in back.iterdir())  # this machine's places
    assert load.read_any(back).model == weights.model
    theirs = [open_clip.create_model(f"local-dir:{directory}") for directory in (source, back)]
    assert str(theirs[0]) == str(theirs[1])
    return True


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_towers_by_their_settings_equal_open_clip_and_return_bit_for_bit(kind, tmp_path):
    source = open_clip_models.write(tmp_path / "source", open_clip_models.described(**PLAIN[kind]))
    weights = proven(source, tmp_path / "model")
    assert weights.model.frames == 8 and EXPECTED.get(kind, lambda model: True)(weights.model)
    assert returned(weights, source, tmp_path / "back")


TIMM = {
    "siglip": open_clip_models.siglip(),
    "siglip 2": open_clip_models.siglip("siglip_tiny_tanh", **TANH),
    "pe": open_clip_models.perception_encoder(),
    "pe without class token": open_clip_models.perception_encoder("pe_tiny_without_class_token"),
}
PIXELS = {"mean": HALF, "std": HALF, "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.mark.parametrize("kind", TIMM)
def test_timms_towers_equal_open_clip_and_return_bit_for_bit(kind, tmp_path):
    source = open_clip_models.write(tmp_path / "source", TIMM[kind], PIXELS)
    weights = proven(source, tmp_path / "model")
    image = weights.model.image
    assert (image.pooling, image.resize, image.filter, image.mean) == ("attention", "squash", "bilinear", HALF)
    assert weights.model.logit_bias == ("siglip" in kind) and weights.model.text.pad == ("siglip" in kind)
    assert returned(weights, source, tmp_path / "back")


def test_a_text_tower_may_have_another_activation_than_timms(tmp_path):
    tanh = open_clip_models.write(tmp_path / "tanh", open_clip_models.siglip(**TANH))
    model = proven(tanh, tmp_path / "first").model
    assert (model.activation, model.text.activation) == ("gelu", "gelu_tanh")
    settings = open_clip_models.perception_encoder() | {"quick_gelu": True}  # which timm's tower has not
    quick = open_clip_models.write(tmp_path / "quick", settings)
    weights = proven(quick, tmp_path / "second")
    assert (weights.model.activation, weights.model.text.activation) == ("gelu", "quick_gelu")
    assert returned(weights, quick, tmp_path / "back")


def test_texts_read_at_their_first_token_are_known_and_need_a_tokenizer_that_has_one(tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.siglip(pool_type="first"))
    assert formats.recognise(torch_files.read(source)).model.text.pooling == "first"
    with pytest.raises(ValueError, match="the tower reads a text at its first token"):
        load.read_any(source)


def test_weights_of_half_precision_return_with_their_dtype(tmp_path):
    settings = open_clip_models.siglip()
    source = open_clip_models.write(tmp_path / "source", settings, PIXELS, dtype=torch.bfloat16)
    assert returned(load.read_any(source), source, tmp_path / "back")


def test_old_names_of_a_text_tower_apart_are_read_and_return(tmp_path):
    source = open_clip_models.write(tmp_path / "source", open_clip_models.described())
    told = {"model_cfg": open_clip_models.described(custom_text=True)}
    (source / "open_clip_config.json").write_text(json.dumps(told))
    export.export(load.read_any(source), tmp_path / "back", "open_clip", towers_only=False, overwrite=False)
    assert same_bits(source, tmp_path / "back")


def test_models_of_other_formats_become_open_clips(tmp_path):
    model = dataclasses.replace(tiny.model_config(), activation="gelu")
    torch_reference.hugging_clip(model).save_pretrained(tmp_path / "hugging")
    weights = load.read_any(tmp_path / "hugging")
    export.export(weights, tmp_path / "out", "open_clip", towers_only=False, overwrite=False)
    assert proven(tmp_path / "out", tmp_path / "model").model == weights.model
    theirs = open_clip.create_model(f"local-dir:{tmp_path / 'out'}")
    np.testing.assert_array_equal(theirs.visual.proj.detach(), weights.params["image/projection/kernel"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timm_pool": None}, "timm_pool is None"),
        ({"timm_pool": "avg"}, "timm_pool is 'avg': only 'map' is supported"),
        ({"timm_proj": "linear"}, "timm_proj is 'linear': only 'none' or '' or None is supported"),
        ({"timm_proj": "mlp"}, "timm_proj is 'mlp'"),
        ({"timm_model_name": "vit_base_patch16_224"}, "timm_model_name is 'vit_base_patch16_224': only the SigLIP and"),
        ({"timm_model_name": "naflexvit_base_patch16_siglip"}, "at a fixed resolution alone"),
        ({"act_kwargs": {"approximate": "tanh"}}, "act_kwargs is {'approximate': 'tanh'}, beside timm_model_name"),
        ({"no_ln_pre": True}, "no_ln_pre is True, beside timm_model_name"),
        ({"image_size": 24}, "image_size is 24, the weights have 22"),
        ({"width": 768}, "width is 768, the weights have 96"),
        ({"attentional_pool": True}, "attentional_pool is True"),
        ({"rope_type": "mixed"}, "rope_type is 'mixed', a setting that this program does not know"),
    ],
)
def test_settings_of_timms_towers_are_refused_by_name(changes, message, tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.siglip())
    settings = open_clip_models.siglip()
    settings["vision_cfg"] = settings["vision_cfg"] | changes
    (source / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm_kwargs": None}, "norm_kwargs is None: timm's image tower has eps 1e-06"),
        ({"pool_type": "avg"}, "pool_type is 'avg': only argmax, eos, last, first is supported"),
        ({"mlp_ratio": 4.0}, "mlp_ratio is 4.0, the weights have 358 hidden channels in a width of 96"),
        ({"proj_type": "none"}, "proj_type is 'none'"),
        ({"proj_type": "mlp"}, "proj_type is 'mlp'"),
        ({"tokenizer_kwargs": {"clean": "upper"}}, "tokenizer_kwargs is {'clean': 'upper'}: only clean is supported"),
        ({"tokenizer_kwargs": {"language": "en"}}, "tokenizer_kwargs is {'language': 'en'}"),
        ({"quick_gelu": True}, "quick_gelu is True, a setting that this program does not know"),
        ({"heads": 0}, "heads is 0"),
        ({"width": [96, 97]}, "width is [96, 97]"),
    ],
)
def test_settings_of_texts_are_refused_by_name(changes, message, tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.siglip())
    (source / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip_models.siglip(**changes)}))
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(source)
    assert message in str(caught.value)


def test_an_activation_that_open_clip_could_not_build_is_refused(tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.described())
    settings = {"model_cfg": open_clip_models.described(TANH, TANH, quick_gelu=True)}
    (source / "open_clip_config.json").write_text(json.dumps(settings))
    with pytest.raises(errors.CheckpointError, match="none beside quick_gelu"):
        load.read_any(source)


def test_names_that_only_settings_explain_are_refused_without_them(tmp_path):
    for name, settings in (("timm", open_clip_models.siglip()), ("apart", PLAIN["a text tower apart"])):
        whole = settings if name == "timm" else open_clip_models.described(**settings)
        source = open_clip_models.write(tmp_path / name, whole)
        (source / "open_clip_config.json").unlink()
        with pytest.raises(errors.CheckpointError, match=r"no open_clip_config\.json beside it says which"):
            load.read_any(source, activation="gelu")


def test_settings_of_another_models_weights_are_refused(tmp_path):
    plain = open_clip_models.write(tmp_path / "plain", open_clip_models.described())
    timm = open_clip_models.write(tmp_path / "timm", open_clip_models.siglip())
    apart = open_clip_models.write(tmp_path / "apart", open_clip_models.described(custom_text=True))
    for source, settings, message in (
        (plain, open_clip_models.siglip(), "timm_model_name is 'siglip_tiny': the weights are not timm's"),
        (timm, open_clip_models.described(custom_text=True), "no open_clip_config.json beside it says which tower"),
        (apart, open_clip_models.described(), "custom_text is None: the weights' text tower is apart"),
    ):
        (source / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
        with pytest.raises(errors.CheckpointError) as caught:
            load.read_any(source)
        assert message in str(caught.value)


def test_an_image_projection_with_a_bias_is_refused(tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.perception_encoder())
    state = safetensors.torch.load_file(source / "open_clip_model.safetensors")
    state[timm_trunks.BIAS][3] = 0.25
    safetensors.torch.save_file(state, source / "open_clip_model.safetensors")
    with pytest.raises(errors.CheckpointError, match=r"visual\.trunk\.head\.bias is not zero"):
        load.read_any(source)


def test_a_tokenizer_that_settings_name_must_stand_beside_the_weights(tmp_path):
    source = open_clip_models.write(tmp_path, open_clip_models.siglip())
    (source / "tokenizer.json").unlink()
    with pytest.raises(errors.CheckpointError, match="hf_tokenizer_name is 'timm/ViT-B-16-SigLIP': expected"):
        load.read_any(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"activation": "quick_gelu"},
            "builds this image tower as siglip_tiny with gelu, eps 1e-06 or siglip_tiny_tanh",
        ),
        ({"norm_eps": 1e-5}, "the model has gelu, eps 1e-05"),
        ({"image": {"size": 38}}, "no image tower of such sizes with pooling 'attention'"),
        ({"image": {"rotary": True}}, "no image tower of such sizes with rotary True"),
        ({"shift": True}, "no place for shift"),
    ],
)
def test_what_open_clip_cannot_say_is_refused_by_name(changes, message, tmp_path):
    model = load.read_any(open_clip_models.write(tmp_path / "source", open_clip_models.siglip())).model
    changes = dict(changes)
    image = dataclasses.replace(model.image, **changes.pop("image", {}))
    weights = model_directory.Weights(
        dataclasses.replace(model, image=image, **changes), {}, text.default_tokenizer(), {}, {}
    )
    with pytest.raises(errors.CheckpointError) as caught:
        export.export(weights, tmp_path / "out", "open_clip", towers_only=False, overwrite=False)
    assert message in str(caught.value) and not (tmp_path / "out").exists()


def test_quick_gelu_is_said_of_both_towers_or_none():
    words = dataclasses.replace(tiny.model_config().text, activation="gelu")
    problems = open_clip_export.not_expressible(tiny.model_config(text=words))
    assert problems == ["it has quick_gelu in both towers or none, the model has quick_gelu and gelu"]


@pytest.mark.parametrize("shape", [(1408, 6144), (1664, 8192), (1152, 4304), (1536, 8960), (192, 577), (7, 30)])
def test_ratios_are_such_that_open_clip_finds_the_hidden_channels_again(shape):
    width, hidden = shape
    assert int(width * open_clip_export.ratio(width, hidden)) == hidden


@pytest.mark.parametrize("name", slow("PE-Core-B-16", "ViT-B-16-SigLIP"))
def test_full_size_towers_equal_open_clip(name, tmp_path):
    settings = open_clip.get_model_config(name)
    source = open_clip_models.write(tmp_path / "source", settings, PIXELS)
    model_directory.save(tmp_path / "model", load.read_any(source))
    for difference in verify.verify(source, tmp_path / "model", None):
        assert difference.relative <= 1e-4, difference
    assert config.size_name(model_directory.load_config(tmp_path / "model")) in ("PE-Core-B/16", "SigLIP-B/16")
