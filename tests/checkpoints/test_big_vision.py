"""SigLIP's .npz files: read whole, the same as transformers' weights, written back bit for bit, and never trusted."""

import dataclasses
import functools
import io
import json
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest
import siglip_reference
import timm
import tiny_tokenizers
import torch
import transformers
from open_clip import convert as open_clip_convert
from open_clip import transformer

from actionclip_jax import cli, config
from actionclip_jax.checkpoints import (
    big_vision,
    errors,
    export,
    formats,
    load,
    locate,
    model_directory,
    numpy_files,
    torch_files,
    verify,
)
from actionclip_jax.models import action_clip

# a vocabulary that says its padding, as these files need; the rest is small
PUBLISHED = {"vocab_size": 32_000, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1}
SPELLINGS = [(True, ""), (False, ""), (True, "params/"), (False, "params/")]


def write(directory, name="siglip.npz", stacked=True, prefix="", kind="siglip", **changes):
    """Writes a tokenizer and beside it a file; returns the model and where the file is."""
    spec = tiny_tokenizers.save(kind, directory)
    model = siglip_reference.siglip({"image_size": 32}, {"vocab_size": spec.vocabulary})
    arrays = siglip_reference.big_vision(model, stacked, prefix)
    np.savez(directory / name, **arrays | {prefix + path: array for path, array in changes.items()})
    return model, directory / name


def refusal(path):
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(path)
    return str(caught.value)


def same_bits(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name
    return True


@pytest.mark.parametrize(("stacked", "prefix"), SPELLINGS)
def test_it_equals_torch_and_the_same_weights_of_transformers(stacked, prefix, tmp_path):
    model, file = write(tmp_path, stacked=stacked, prefix=prefix)
    weights = load.read_any(file)
    model_directory.save(tmp_path / "model", weights)
    for difference in verify.verify(file, tmp_path / "model", None):
        assert difference.relative <= 1e-5 and difference.absolute <= 1e-4, difference
    (tmp_path / "hugging").mkdir()
    tiny_tokenizers.save("siglip", tmp_path / "hugging")
    model.save_pretrained(tmp_path / "hugging")
    hugging = load.read_any(tmp_path / "hugging")
    assert hugging.model == weights.model
    assert hugging.params.keys() == weights.params.keys()
    for path, value in hugging.params.items():
        np.testing.assert_array_equal(weights.params[path], value, err_msg=path)


@pytest.mark.parametrize(("stacked", "prefix"), SPELLINGS)
def test_names_shapes_and_dtypes_return_bit_for_bit(stacked, prefix, tmp_path):
    model, file = write(tmp_path)
    arrays = siglip_reference.big_vision(model, stacked, prefix)
    dtypes = {name: ml_dtypes.bfloat16 if "Dense" in name else np.float16 for name in arrays}
    np.savez(file, **{name: array.astype(dtypes[name]) for name, array in arrays.items()})
    model_directory.save(tmp_path / "model", load.read_any(file))
    weights = model_directory.load(tmp_path / "model")
    export.export(weights, tmp_path / "b.npz", "big_vision", towers_only=False, overwrite=False)
    assert same_bits(torch_files.read(file).tree, torch_files.read(tmp_path / "b.npz").tree)
    with np.load(tmp_path / "b.npz") as written:
        assert set(written) == set(arrays)


def test_what_comes_from_transformers_is_written_as_siglip_2_has_it(tmp_path):
    model, file = write(tmp_path)
    (tmp_path / "hugging").mkdir()
    tiny_tokenizers.save("siglip", tmp_path / "hugging")
    model.save_pretrained(tmp_path / "hugging")
    weights = load.read_any(tmp_path / "hugging")
    export.export(weights, tmp_path / "b.npz", "big_vision", towers_only=False, overwrite=False)
    assert same_bits(torch_files.read(file).tree, torch_files.read(tmp_path / "b.npz").tree)


def test_transformers_reads_the_same_weights_of_what_is_written_from_it(tmp_path):
    model, file = write(tmp_path)
    weights = load.read_any(file)
    export.export(weights, tmp_path / "hugging", "huggingface", towers_only=False, overwrite=False)
    theirs = transformers.SiglipModel.from_pretrained(tmp_path / "hugging").state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(theirs[name], tensor), name
    assert load.read_any(tmp_path / "hugging").model == weights.model


def open_clips(model):
    """open_clip's towers of a SiglipModel's sizes, as far as its loader of these files looks at them."""
    vision, text = model.config.vision_config, model.config.text_config
    kinds = {
        "act_layer": functools.partial(torch.nn.GELU, approximate="tanh"),
        "norm_layer": functools.partial(torch.nn.LayerNorm, eps=1e-6),
    }
    trunk = timm.models.vision_transformer.VisionTransformer(
        img_size=vision.image_size,
        patch_size=vision.patch_size,
        embed_dim=vision.hidden_size,
        depth=vision.num_hidden_layers,
        num_heads=vision.num_attention_heads,
        mlp_ratio=vision.intermediate_size / vision.hidden_size,
        class_token=False,
        global_pool="map",
        num_classes=0,
        **kinds,
    )
    words = transformer.TextTransformer(
        context_length=text.max_position_embeddings,
        vocab_size=text.vocab_size,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        layers=text.num_hidden_layers,
        mlp_ratio=text.intermediate_size / text.hidden_size,
        output_dim=vision.hidden_size,
        no_causal_mask=True,
        pool_type="last",
        proj_bias=True,
        **kinds,
    )
    scalars = {name: torch.nn.Parameter(torch.zeros(())) for name in ("logit_scale", "logit_bias")}
    return types.SimpleNamespace(visual=types.SimpleNamespace(trunk=trunk.eval()), text=words.eval(), **scalars)


@pytest.mark.parametrize(("stacked", "prefix"), SPELLINGS)
def test_open_clips_own_loader_of_these_files_makes_the_same_features(stacked, prefix, tmp_path):
    model, file = write(tmp_path, stacked=stacked, prefix=prefix)
    theirs = open_clips(model)
    open_clip_convert.load_big_vision_weights(theirs, str(file))
    weights = load.read_any(file)
    ours = action_clip.from_params(weights.model, config.ComputeConfig(), weights.params)
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (2, 1, 32, 32, 3), np.uint8)
    tokens = generator.integers(0, weights.model.text.vocabulary, (3, 64))
    tokens[:, 9:] = 1
    pixels = torch.from_numpy((frames[:, 0] / 127.5 - 1).astype(np.float32)).movedim(-1, 1)
    with torch.inference_mode():
        features, texts = theirs.visual.trunk(pixels), theirs.text(torch.from_numpy(tokens))
    np.testing.assert_allclose(ours.encode_frames(frames)[:, 0], features, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(ours.text(tokens), texts, atol=1e-5, rtol=1e-5)
    assert float(weights.params["logit_scale"]) == theirs.logit_scale.item()
    assert float(weights.params["logit_bias"]) == theirs.logit_bias.item()


def test_a_directory_with_one_such_file_is_read_and_with_two_is_not(tmp_path):
    _, file = write(tmp_path)
    assert locate.locate(str(tmp_path)) == file
    assert load.read_any(tmp_path).model == load.read_any(file).model
    (tmp_path / "other.npz").write_bytes(file.read_bytes())
    assert "or one .npz or .pt file" in refusal(tmp_path)


def test_it_needs_its_own_tokenizer_beside_it(tmp_path):
    np.savez(tmp_path / "a.npz", **siglip_reference.big_vision(siglip_reference.siglip({"image_size": 32}, PUBLISHED)))
    with pytest.raises(ValueError, match=r"it needs its own tokenizer\.json"):
        load.read_any(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"img/embedding/kernel": np.zeros((192, 48), np.float32)},
            "a linear patch embedding is that of SigLIP 2 of",
        ),
        ({"img/pos_embedding": np.zeros((1, 15, 48), np.float32)}, "positions of 15 patches, which make no square"),
        ({"img/pos_embedding": np.zeros((4, 4, 48), np.float32)}, "has shape (4, 4, 48), expected (1, 4, 48)"),
        ({"img/cls": np.zeros((1, 1, 48), np.float32)}, "'img/cls' is not a part of this model"),
        ({"img/head/kernel": np.zeros((48, 48), np.float32)}, "'img/head/kernel' is not a part of this model"),
        ({"t": np.zeros((), np.float32)}, "'t' has shape (), expected (1,)"),
        ({"b": np.zeros(1, np.int32)}, "'b' holds int32 numbers"),
        ({"b": np.full(1, np.nan, np.float32)}, "'b' holds numbers that are not finite"),
        ({"txt/head/bias": np.zeros(9, np.float32)}, "'txt/head/bias' has shape (9,), expected (48,)"),
    ],
)
def test_arrays_that_are_no_siglip_of_a_fixed_resolution_are_refused_by_name(change, message, tmp_path):
    _, file = write(tmp_path, **change)
    assert message in refusal(file)


@pytest.mark.parametrize("name", ["txt/head/kernel", "b", "img/MAPHead_0/probe", "img/embedding/kernel"])
def test_a_part_of_a_siglip_is_refused_by_what_is_missing(name, tmp_path):
    _, file = write(tmp_path)
    with np.load(file) as arrays:
        rest = {path: arrays[path] for path in arrays if path != name}
    np.savez(file, **rest)
    assert name in refusal(file)


def test_an_optimizer_beside_the_parameters_is_left_out(tmp_path):
    model, file = write(tmp_path, prefix="params/")
    arrays = siglip_reference.big_vision(model, prefix="params/")
    moments = {f"opt/0/mu/{name}": array for name, array in siglip_reference.big_vision(model).items()}
    np.savez(file, **arrays, **moments, **{"chrono/accum_train_time": np.float64(3)})
    recognised = formats.recognise(torch_files.read(file))
    assert recognised.left_out == ["chrono", "opt"]
    assert set(recognised.tensors) == set(arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "gelu"}, "it means model.activation 'gelu_tanh', the model has 'gelu'"),
        ({"norm_eps": 1e-5}, "it means model.norm_eps 1e-06, the model has 1e-05"),
        ({"image.filter": "bicubic"}, "it means image.filter 'bilinear', the model has 'bicubic'"),
        ({"image.mean": config.CLIP_MEAN}, "it means image.mean (0.5, 0.5, 0.5), the model has"),
        ({"image.size": 230, "image.unread": 6}, "it means image.unread 0, the model has 6"),
        ({"text.activation": "gelu"}, "it means text.activation 'same', the model has 'gelu'"),
        ({"text.pad": 1}, "it means text.pad 0, the model has 1"),
        ({"temporal": config.TemporalConfig("LSTM")}, "no place for the temporal head LSTM: use --to actionclip, or"),
    ],
)
def test_a_model_that_these_names_cannot_say_is_refused_by_name(changes, message):
    model = config.SIZES["SigLIP2-B/16"]
    for field, value in changes.items():
        section, _, name = field.rpartition(".")
        part = dataclasses.replace(getattr(model, section), **{name: value}) if section else value
        model = dataclasses.replace(model, **{section or name: part})
    weights = model_directory.Weights(model, {}, None, {}, {})
    with pytest.raises(errors.CheckpointError) as caught:
        export.export(weights, "nowhere.npz", "big_vision", towers_only=False, overwrite=False)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", ["ViT-B/16", "PE-Core-B/16", "MetaCLIP2-H/14"])
def test_other_families_cannot_be_said_in_it(size):
    weights = model_directory.Weights(config.SIZES[size], {}, None, {}, {})
    with pytest.raises(errors.CheckpointError, match="the big_vision format cannot say this model"):
        export.export(weights, "nowhere.npz", "big_vision", towers_only=False, overwrite=False)


def test_all_published_siglips_can_be_said_in_it_and_by_transformers():
    for name, model in config.SIZES.items():
        if model.logit_bias:
            assert not export.not_expressible(model, "big_vision"), name
            assert not export.not_expressible(model, "huggingface"), name


def test_the_command_writes_it_and_only_under_its_own_ending(tmp_path, capsys):
    _, file = write(tmp_path)
    assert cli.main(["convert", str(file), str(tmp_path / "out.pt"), "--to", "big_vision"]) == 2
    assert "expected a name ending in .npz" in capsys.readouterr().err
    assert cli.main(["convert", str(file), str(tmp_path / "hugging"), "--to", "huggingface"]) == 0
    assert json.loads((tmp_path / "hugging" / "config.json").read_text())["model_type"] == "siglip"


def npy(array, **options):
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def test_pickled_objects_are_refused_and_never_run(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("code ran",)

    array = np.array([Evil()], dtype=object)
    path = archive(tmp_path / "a.npz", [("img/embedding/kernel.npy", npy(array, allow_pickle=True))])
    assert "holds object, and no numbers" in refusal(path)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a.npy", npy(np.zeros(4, np.float32))[:-4])], "a.npy of shape (4,) does not fit its 140 bytes"),
        ([("a.npy", npy(np.zeros(4, np.float32)) + b"more")], "a.npy of shape (4,) does not fit its 148 bytes"),
        ([("a.npy", npy(np.zeros(4, "U3")))], "a.npy holds <U3, and no numbers"),
        ([("a.npy", npy(np.zeros(2, [("x", "f4"), ("y", "f4")])))], "and no numbers"),
        ([("a.npy", b"\x93NUMPY\x03\x00" + b"\x00" * 90)], "a.npy has the unknown format (3, 0)"),
        ([("a.npy", b"rubbish")], "not a readable .npz file"),
        ([("a.npy", npy(np.zeros(1))), ("a.npy", npy(np.zeros(1)))], "'a' is there twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays_that_do_not_fit_their_bytes_are_refused(entries, message, tmp_path):
    assert message in refusal(archive(tmp_path / "a.npz", entries))


def test_a_header_is_not_given_the_memory_it_asks_for(tmp_path):
    header = npy(np.zeros((1, 1), np.float32))
    huge = header.replace(b"(1, 1), }" + b" " * 20, b"(10000000000, 10000), }".ljust(29))
    assert huge != header
    assert "does not fit its" in refusal(archive(tmp_path / "a.npz", [("a.npy", huge)]))


def test_compressed_arrays_are_refused_as_they_may_be_bombs(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**6))
    assert "refused: the entry 'a.npy' is compressed" in refusal(tmp_path / "a.npz")


def test_a_cut_file_and_files_under_the_ending_of_others_are_named(tmp_path):
    _, file = write(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "a zip archive that is damaged or cut short" in refusal(file)
    (tmp_path / "model.pt").write_bytes(whole)
    assert "is a NumPy file by its content: give it the ending .npz" in refusal(tmp_path / "model.pt")
    torch.save({"a": torch.zeros(1)}, tmp_path / "torch.npz")
    assert "is a PyTorch file by its content: give it the ending .pt" in refusal(tmp_path / "torch.npz")
    archive(tmp_path / "b.npz", [("a.npy", npy(np.zeros(1))), ("note.txt", b"hello")])
    assert "a zip archive of other files" in refusal(tmp_path / "b.npz")


def test_arrays_of_every_kind_of_number_and_order_are_read_as_numpy_reads_them(tmp_path):
    arrays = {
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(2.5),
        "half": np.arange(3, dtype=np.float16),
        "brain": np.arange(3).astype(ml_dtypes.bfloat16),
        "whole": np.arange(3),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    read = numpy_files.read(tmp_path / "a.npz")
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array)
    numpy_files.write(tmp_path / "b.npz", read)
    assert same_bits(read, numpy_files.read(tmp_path / "b.npz"))


def test_how_names_are_spelt_is_seen_of_each_tower_apart():
    names = [
        f"params/{big_vision.PATCH}",
        "params/img/Transformer/encoderblock/x",
        "params/txt/Encoder_0/encoderblock_0/x",
    ]
    assert big_vision.spelling(names) == big_vision.Spelling("params/", stacked_image=True, stacked_text=False)
