"""PE-Core's own files: read by the names and sizes that Meta gave them, equal to timm's and open_clip's, and back."""

import dataclasses
import pathlib
import sys

import numpy as np
import open_clip_models
import pytest
import tiny
import torch
from slow import slow

from actionclip_jax import cli, config, text
from actionclip_jax.checkpoints import errors, export, formats, load, model_directory, timm_trunks, torch_files, verify

RELEASED = [name for name in config.SIZES if name.startswith("PE-Core")]


@pytest.fixture(autouse=True)
def tiny_trunks(monkeypatch):
    for name, trunk in open_clip_models.TRUNKS.items():
        monkeypatch.setitem(timm_trunks.TRUNKS, name, trunk)


def tiny_model(**changes):
    """The smallest of them with fewer blocks and pixels."""
    model = config.SIZES["PE-Core-T/16@384"]
    image = dataclasses.replace(model.image, **({"size": 64, "depth": 2} | changes))
    return dataclasses.replace(model, image=image, text=config.TextConfig(context=32, width=128, depth=2, heads=2))


def shapes(model):
    """The names and shapes of a file of Meta's, from its code."""
    image, words, visual, text_width = model.image, model.text, model.image.width, model.text.width
    hidden = image.mlp_width or 4 * visual
    pool = "visual.attn_pool"
    return {
        "positional_embedding": (words.context, text_width),
        "text_projection": (text_width, model.embed_width),
        "logit_scale": (),
        **({"visual.class_embedding": (visual,)} if image.class_token else {}),
        "visual.positional_embedding": (image.tokens, visual),
        "visual.proj": (visual, model.embed_width),
        "visual.conv1.weight": (visual, 3, image.patch, image.patch),
        **norm("visual.ln_pre", visual),
        **norm("visual.ln_post", visual),
        **blocks("visual.transformer", image.depth, visual, hidden),
        f"{pool}.probe": (1, 1, visual),
        **attention(f"{pool}.attn", visual),
        **norm(f"{pool}.layernorm", visual),
        **mlp(f"{pool}.mlp", visual, 4 * visual),
        "token_embedding.weight": (words.vocabulary, text_width),
        **blocks("transformer", words.depth, text_width, 4 * text_width),
        **norm("ln_final", text_width),
    }


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def attention(name, width):
    whole = {f"{name}.in_proj_weight": (3 * width, width), f"{name}.in_proj_bias": (3 * width,)}
    return whole | {f"{name}.out_proj.weight": (width, width), f"{name}.out_proj.bias": (width,)}


def mlp(name, width, hidden):
    whole = {f"{name}.c_fc.weight": (hidden, width), f"{name}.c_fc.bias": (hidden,)}
    return whole | {f"{name}.c_proj.weight": (width, hidden), f"{name}.c_proj.bias": (width,)}


def blocks(name, depth, width, hidden):
    parts = {}
    for i in range(depth):
        block = f"{name}.resblocks.{i}"
        parts |= attention(f"{block}.attn", width) | mlp(f"{block}.mlp", width, hidden)
        parts |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
    return parts


def write(path, model, dtype=torch.float32):
    """A file of Meta's with random weights."""
    generator, state = torch.Generator().manual_seed(0), {}
    for name, shape in shapes(model).items():
        noise = torch.randn(shape, generator=generator)
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
        is_norm = "ln_" in name or "layernorm" in name
        state[name] = noise * scale + (is_norm and name.endswith("weight"))
    state["logit_scale"] = torch.tensor(2.3)
    torch.save({name: tensor.to(dtype) for name, tensor in state.items()}, path)
    return path


def same_bits(first, second):
    first, second = torch_files.read(first).tree, torch_files.read(second).tree
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name
    return True


KINDS = {
    "with class token": {},
    "without class token": {"class_token": False},
    "heads and hidden channels of G": {
        "width": 1536,
        "heads": 16,
        "depth": 1,
        "mlp_width": 2048,
        "class_token": False,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_metas_equal_timm_and_return_bit_for_bit(kind, tmp_path):
    model = tiny_model(**KINDS[kind])
    weights = load.read_any(write(tmp_path / "PE-Core.pt", model))
    assert weights.model == dataclasses.replace(model, frames=8)
    model_directory.save(tmp_path / "model", weights)
    for difference in verify.verify(tmp_path / "PE-Core.pt", tmp_path / "model", None):
        assert difference.relative <= 1e-5, difference
    again = model_directory.load(tmp_path / "model")
    export.export(again, tmp_path / "back.pt", "pe", towers_only=False, overwrite=False)
    assert same_bits(tmp_path / "PE-Core.pt", tmp_path / "back.pt")


def test_half_precision_returns_as_it_was(tmp_path):
    source = write(tmp_path / "PE-Core.pt", tiny_model(), torch.bfloat16)
    export.export(load.read_any(source), tmp_path / "back.pt", "pe", towers_only=False, overwrite=False)
    assert same_bits(source, tmp_path / "back.pt")


@pytest.mark.parametrize("trunk", ["pe_tiny", "pe_tiny_without_class_token"])
def test_between_metas_names_and_timms_not_a_number_changes(trunk, tmp_path):
    model = tiny_model(class_token=trunk == "pe_tiny")
    write(tmp_path / "PE-Core.pt", model)
    weights = load.read_any(tmp_path / "PE-Core.pt")
    export.export(weights, tmp_path / "timm", "open_clip", towers_only=False, overwrite=False)
    again = load.read_any(tmp_path / "timm")
    assert again.model == weights.model
    for name, array in weights.params.items():
        np.testing.assert_array_equal(again.params[name], array)
    export.export(again, tmp_path / "back.pt", "pe", towers_only=False, overwrite=False)
    assert same_bits(tmp_path / "PE-Core.pt", tmp_path / "back.pt")
    model_directory.save(tmp_path / "model", again)
    for difference in verify.verify(tmp_path / "timm", tmp_path / "model", None):
        assert difference.relative <= 1e-5, difference


def test_a_directory_or_repository_with_that_one_file_is_read(tmp_path):
    write(tmp_path / "PE-Core-T16-384.pt", tiny_model())
    (tmp_path / "config.yaml").touch()
    assert load.read_any(tmp_path).provenance["file"] == "PE-Core-T16-384.pt"
    write(tmp_path / "another.pt", tiny_model())
    with pytest.raises(errors.CheckpointError, match="no weights in this directory"):
        load.read_any(tmp_path)


def test_a_proof_that_needs_open_clip_says_how_to_get_it(tmp_path, monkeypatch):
    source = write(tmp_path / "PE-Core.pt", tiny_model())
    model_directory.save(tmp_path / "model", load.read_any(source))
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(errors.CheckpointError, match="needs open_clip: pip install open_clip_torch timm"):
        verify.verify(source, tmp_path / "model", None)


def test_what_the_file_does_not_say_is_noted(tmp_path, caplog):
    load.read_any(write(tmp_path / "PE-Core.pt", tiny_model()))
    assert "are those of the release: the file does not say them" in caplog.text
    load.read_any(tmp_path / "PE-Core.pt", activation="quick_gelu")
    assert "activation quick_gelu, as it was told; by its format or files it is gelu" in caplog.text


def test_a_width_that_was_not_released_is_refused(tmp_path):
    with pytest.raises(errors.CheckpointError, match="cannot know the heads of a tower of width 256"):
        load.read_any(write(tmp_path / "PE-Core.pt", tiny_model(width=256, heads=4)))


@pytest.mark.parametrize(
    "missing", ["visual.class_embedding", "visual.ln_pre.weight", "visual.attn_pool.layernorm.bias"]
)
def test_parts_that_are_missing_are_named(missing, tmp_path):
    state = torch.load(write(tmp_path / "PE-Core.pt", tiny_model()))
    del state[missing]
    torch.save(state, tmp_path / "PE-Core.pt")
    with pytest.raises(
        errors.CheckpointError, match="positional_embedding' has shape" if "class" in missing else missing
    ):
        load.read_any(tmp_path / "PE-Core.pt")


def test_scales_of_layers_which_other_perception_encoders_have_are_refused(tmp_path):
    state = torch.load(write(tmp_path / "PE-Core.pt", tiny_model()))
    state["visual.transformer.resblocks.0.ls_1.gamma"] = torch.ones(192)
    torch.save(state, tmp_path / "PE-Core.pt")
    with pytest.raises(errors.CheckpointError, match=r"ls_1\.gamma' is not a part of this model"):
        load.read_any(tmp_path / "PE-Core.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "quick_gelu"}, "it means model.activation 'gelu', the model has 'quick_gelu'"),
        ({"norm_eps": 1e-6}, "norm_eps 1e-05, the model has 1e-06"),
        ({"logit_bias": True}, "logit_bias False, the model has True"),
        ({"image": {"rotary": False}}, "image.rotary True, the model has False"),
        ({"image": {"pool_heads": 4}}, "image.pool_heads 8, the model has 4"),
        ({"image": {"heads": 6}}, "image.heads 3, the model has 6"),
        ({"image": {"filter": "bicubic"}}, "image.filter 'bilinear', the model has 'bicubic'"),
        ({"text": {"causal": False}}, "text.causal True, the model has False"),
        ({"text": {"heads": 4}}, "text.heads 2, the model has 4"),
        ({"text": {"cleaning": "canonical"}}, "text.cleaning 'lower', the model has 'canonical'"),
        ({"temporal": config.TemporalConfig("Transf", heads=8)}, "no place for the temporal head Transf"),
    ],
)
def test_what_metas_files_cannot_say_is_refused_by_name(changes, message, tmp_path):
    model, changes = tiny_model(), dict(changes)
    parts = {
        name: dataclasses.replace(getattr(model, name), **changes.pop(name))
        for name in ("image", "text")
        if name in changes
    }
    model = dataclasses.replace(model, **parts, **changes)
    weights = model_directory.Weights(model, {}, text.default_tokenizer(), {}, {})
    with pytest.raises(errors.CheckpointError) as caught:
        export.export(weights, tmp_path / "out.pt", "pe", towers_only=False, overwrite=False)
    assert message in str(caught.value)


def test_a_clip_is_no_perception_encoder(tmp_path):
    weights = model_directory.Weights(tiny.model_config(), {}, text.default_tokenizer(), {}, {})
    with pytest.raises(errors.CheckpointError, match=r"it means image\.rotary True"):
        export.export(weights, tmp_path / "out.pt", "pe", towers_only=False, overwrite=False)


@pytest.mark.parametrize("name", RELEASED)
def test_released_sizes_are_recognised(name):
    model = config.SIZES[name]
    tensors = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes(model).items()}
    recognised = formats.recognise(torch_files.Source("PE-Core.pt", pathlib.Path("PE-Core.pt"), tensors))
    assert config.size_name(recognised.model) == name and recognised.format == "pe"


def test_a_command_converts_and_proves_it(tmp_path, capsys):
    source = write(tmp_path / "PE-Core.pt", tiny_model())
    assert cli.main(["convert", str(source), str(tmp_path / "model"), "--verify"]) == 0
    assert cli.main(["convert", str(tmp_path / "model"), str(tmp_path / "timm"), "--to", "open_clip"]) == 0
    assert (tmp_path / "timm" / "open_clip_config.json").is_file()


@pytest.mark.parametrize("name", slow("PE-Core-B/16"))
def test_full_size_files_equal_timm(name, tmp_path):
    model = config.SIZES[name]
    model_directory.save(tmp_path / "model", load.read_any(write(tmp_path / "PE-Core.pt", model)))
    for difference in verify.verify(tmp_path / "PE-Core.pt", tmp_path / "model", None):
        assert difference.relative <= 1e-4, difference
