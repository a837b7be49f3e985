"""Conversion: five formats in, three out, nothing rounded, nothing executed, everything checked."""

import dataclasses
import json
import pathlib
import pickle
import shutil
import sys
import zipfile

import handmade
import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import torch_reference
from slow import slow

from actionclip_jax import cli, config, text
from actionclip_jax.checkpoints import errors, export, load, mapping, model_directory, torch_files, verify

HALVES = dataclasses.replace(tiny.model_config().image, mean=(0.5,) * 3, std=(0.5,) * 3)  # as some LAION weights have
SQUASHED = dataclasses.replace(tiny.model_config().image, resize="squash")
HEADS = ("meanP", "Conv_1D", "LSTM", "Transf", "Transf_cls")


def same_bits(first, second):
    """Whether two nested dicts hold the same arrays, bit for bit."""
    first, second = dict(torch_files.flatten(first)), dict(torch_files.flatten(second))
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name
    return True


def convert(source, directory, **options):
    """Through the directory and back, as the command does it."""
    model_directory.save(directory, load.read_any(source, **options))
    return model_directory.load(directory)


def proven(source, directory, activation=None, **options):
    """Converts, and checks the features against PyTorch more strictly than --verify."""
    weights = convert(source, directory, activation=activation, **options)
    for difference in verify.verify(source, directory, activation):
        limit = 1e-5 if difference.name in ("clip features", "text features") else 1e-4
        assert difference.absolute <= limit, difference
        assert difference.relative <= 1e-5, difference
    return weights


@pytest.mark.parametrize("head", HEADS)
def test_source_checkpoints_of_every_head_equal_torch_and_return_bit_for_bit(head, tmp_path):
    source = tmp_path / "source.pt"
    torch.save(torch_reference.source_checkpoint(tiny.source_config(head)), source)
    weights = proven(source, tmp_path / "model", frames=tiny.FRAMES)
    assert weights.model.temporal.head == head
    assert weights.model.temporal.legacy_layout == (head == "Conv_1D")
    assert weights.provenance["format"] == "actionclip"
    export.export(weights, tmp_path / "back.pt", "actionclip", towers_only=False, overwrite=False)
    original, back = torch_files.read(source).tree, torch_files.read(tmp_path / "back.pt").tree
    del original["optimizer_state_dict"]
    assert same_bits(original, back)


@pytest.mark.parametrize("inside", ["shift", "joint"])
def test_prompts_inside_the_network_equal_torch(inside, tmp_path):
    source = tmp_path / "source.pt"
    torch.save(torch_reference.source_checkpoint(tiny.source_config("Transf", **{inside: True})), source)
    weights = proven(source, tmp_path / "model", frames=tiny.FRAMES)
    assert getattr(weights.model, inside)
    export.export(weights, tmp_path / "back.pt", "actionclip", towers_only=False, overwrite=False)
    assert same_bits(
        torch_files.read(source).tree["model_state_dict"],
        torch_files.read(tmp_path / "back.pt").tree["model_state_dict"],
    )


def test_the_mmaction2_port_loads_with_its_own_eps_and_frames(tmp_path):
    source = tmp_path / "port.pth"
    torch.save(torch_reference.mmaction2_checkpoint(tiny.model_config("Transf")), source)
    weights = proven(source, tmp_path / "model")
    assert weights.model.temporal.norm_eps == 1e-5
    assert weights.model.frames == weights.model.temporal.positions == tiny.FRAMES


def test_hugging_face_directories_equal_torch_and_return_bit_for_bit(tmp_path):
    model = dataclasses.replace(tiny.model_config(), activation="gelu")
    torch_reference.hugging_clip(model).save_pretrained(tmp_path / "hugging")
    weights = proven(tmp_path / "hugging", tmp_path / "model")
    assert weights.model.activation == "gelu"
    export.export(weights, tmp_path / "back", "huggingface", towers_only=False, overwrite=False)
    assert same_bits(torch_files.read(tmp_path / "hugging").tree, torch_files.read(tmp_path / "back").tree)


def test_transformers_reads_what_is_written_for_it(tmp_path):
    import transformers

    torch.save(torch_reference.openai_half(tiny.model_config()), tmp_path / "clip.pt")
    weights = load.read_any(tmp_path / "clip.pt")
    export.export(weights, tmp_path / "hugging", "huggingface", towers_only=False, overwrite=False)
    model, info = transformers.CLIPModel.from_pretrained(tmp_path / "hugging", output_loading_info=True)
    assert not any(info.values()), info
    np.testing.assert_array_equal(model.text_projection.weight.detach().T, weights.params["text/projection/kernel"])
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path / "hugging")
    assert tokenizer("a photo")["input_ids"] == [49406, 320, 1125, 49407]


@pytest.mark.parametrize("scripted", [False, True])
def test_openai_files_equal_torch_and_return_bit_for_bit(scripted, tmp_path):
    state, source = torch_reference.openai_half(tiny.model_config()), tmp_path / "ViT-tiny.pt"
    if scripted:
        torch.jit.script(torch_reference.Scripted(state)).save(str(source))
    else:
        torch.save(state, source)
    weights = proven(source, tmp_path / "model")
    assert (weights.provenance["format"], weights.model.activation) == ("openai", "quick_gelu")
    export.export(weights, tmp_path / "back.pt", "openai", towers_only=False, overwrite=False)
    assert same_bits(
        {name: tensor.numpy() for name, tensor in state.items()}, torch_files.read(tmp_path / "back.pt").tree
    )


@pytest.mark.parametrize("prefix", ["", "module."])
def test_open_clip_files_need_their_activation_told(prefix, tmp_path):
    state = {prefix + name: tensor for name, tensor in torch_reference.openai_state(tiny.model_config()).items()}
    source = tmp_path / "epoch_1.pt"
    torch.save({"state_dict": state, "epoch": 1, "optimizer": {}}, source)
    with pytest.raises(errors.CheckpointError, match="--activation"):
        load.read_any(source)
    quick = proven(source, tmp_path / "quick", activation="quick_gelu")
    exact = proven(source, tmp_path / "exact", activation="gelu")
    assert (quick.model.activation, exact.model.activation) == ("quick_gelu", "gelu")


@pytest.mark.parametrize(("told", "activation"), [({"quick_gelu": True}, "quick_gelu"), ({}, "gelu")])
def test_open_clip_directories_say_their_activation(told, activation, tmp_path):
    safetensors.torch.save_file(
        torch_reference.openai_state(tiny.model_config()), tmp_path / "open_clip_model.safetensors"
    )
    (tmp_path / "open_clip_config.json").write_text(
        f'{{"model_cfg": {str(told).replace("True", "true").replace(chr(39), chr(34))}}}'
    )
    assert load.read_any(tmp_path).model.activation == activation


def test_heads_are_what_the_config_says_and_never_guessed_silently(tmp_path):
    safetensors.torch.save_file(
        torch_reference.openai_state(tiny.model_config()), tmp_path / "open_clip_model.safetensors"
    )
    told = {"model_cfg": {"vision_cfg": {"head_width": 32}, "text_cfg": {"heads": 8}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    model = load.read_any(tmp_path).model
    assert (model.image.heads, model.text.heads) == (4, 8)
    for wrong in ([], {}, {"model_cfg": 5}, {"model_cfg": {"vision_cfg": {"head_width": 0}}}):
        (tmp_path / "open_clip_config.json").write_text(json.dumps(wrong))
        with pytest.raises(errors.CheckpointError, match=r"open_clip_config\.json"):
            load.read_any(tmp_path)
    narrow = dataclasses.replace(tiny.model_config(), text=config.TextConfig(width=96, depth=2, heads=2))
    torch.save(torch_reference.openai_half(narrow), tmp_path / "narrow.pt")
    with pytest.raises(errors.CheckpointError, match="cannot know the heads of a tower of width 96"):
        load.read_any(tmp_path / "narrow.pt")


@pytest.mark.parametrize("wrong", [[], {"vision_config": 5}, {"vision_config": {"num_attention_heads": "x"}}])
def test_a_wrong_hugging_face_config_is_named(wrong, tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(errors.CheckpointError, match=r"config\.json"):
        load.read_any(tmp_path)


def test_half_precision_open_clip_directories_keep_their_activation(tmp_path):
    state = {name: tensor.half() for name, tensor in torch_reference.openai_state(tiny.model_config()).items()}
    safetensors.torch.save_file(state, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}}')
    assert load.read_any(tmp_path).model.activation == "gelu"


@pytest.mark.parametrize(
    ("changes", "target", "message"),
    [
        ({"activation": "gelu"}, "openai", "means the activation quick_gelu, the model has gelu"),
        ({"norm_eps": 1e-6}, "openai", "means LayerNorm eps 1e-5, the model has 1e-06"),
        ({"image": config.ImageConfig(32, 8, 128, 2, 4)}, "openai", "the image tower has 4 in 128"),
        ({"temporal": config.TemporalConfig("Conv_1D")}, "actionclip", "convolves over time"),
        (
            {"temporal": config.TemporalConfig("Transf", positions=8, heads=2)},
            "actionclip",
            "positions 77, the model has 8",
        ),
        ({"temporal": config.TemporalConfig("Transf", depth=2, heads=2)}, "actionclip", "depth 6, the model has 2"),
        ({"temporal": config.TemporalConfig("Transf")}, "actionclip", "heads 2, the model has 8"),
        (
            {"temporal": config.TemporalConfig("Transf", heads=2, norm_eps=1e-5)},
            "actionclip",
            "norm_eps 1e-12, the model",
        ),
        ({"temporal": config.TemporalConfig("Transf_cls")}, "actionclip", "positions 4, the model has 77"),
        (
            {"temporal": config.TemporalConfig("Transf_cls", heads=4, positions=4)},
            "actionclip",
            "heads 8, the model has 4",
        ),
        ({"image": HALVES}, "actionclip", r"CLIP's pixels \(.*, bicubic\), the model has mean \(0.5, 0.5, 0.5\)"),
        ({"image": HALVES}, "openai", "CLIP's pixels"),
        ({"image": SQUASHED}, "openai", "CLIP's pixels .*, the model has .*, squashed to a square, bicubic"),
        ({"shift": True}, "huggingface", "no place for shift"),
        ({"temporal": config.TemporalConfig("another")}, "actionclip", "no names for the temporal head another"),
        ({"temporal": config.TemporalConfig("another")}, "openai", "the temporal head another: --towers-only"),
    ],
)
def test_a_model_that_a_format_cannot_say_is_not_written_in_it(changes, target, message, tmp_path):
    model = dataclasses.replace(tiny.model_config(), **changes)
    weights = model_directory.Weights(model, {}, text.default_tokenizer(), {}, {})
    with pytest.raises(errors.CheckpointError, match=message):
        export.export(weights, tmp_path / "out.pt", target, towers_only=False, overwrite=False)
    assert not list(tmp_path.iterdir())


def test_what_is_written_in_openais_names_is_recognised_again(tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path / "hugging")
    export.export(load.read_any(tmp_path / "hugging"), tmp_path / "a.pt", "openai", towers_only=False, overwrite=False)
    again = load.read_any(tmp_path / "a.pt")
    assert (again.provenance["format"], again.model.activation) == ("openai", "quick_gelu")


def test_a_tokenizer_that_does_not_fit_the_text_tower_is_refused(tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="the tokenizer is damaged"):
        load.read_any(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    weights = load.read_any(tmp_path)
    model_directory.save(tmp_path / "model", weights)
    (tmp_path / "model" / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing"):
        model_directory.load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"has 49408 tokens .* and the text tower knows 1000 .*tokenizer\.json"):
        text.load_tokenizer(None, config.TextConfig(vocabulary=1000))


def flip_bits(file):
    """One in every thousand bytes, and at least one."""
    data = bytearray(file.read_bytes())
    for place in range(len(data) // 2 % 1000, len(data), 1000):
        data[place] ^= 4
    file.write_bytes(data)


DAMAGES = {
    "delete": pathlib.Path.unlink,
    "truncate": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "flip": flip_bits,
}


@pytest.mark.parametrize("damage", ["truncate", *slow("flip", "delete")])
def test_damaged_weights_of_a_model_directory_are_an_error_not_a_traceback(damage, tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path / "hugging")
    model_directory.save(tmp_path / "model", load.read_any(tmp_path / "hugging"))
    state = sorted(
        path for path in (tmp_path / "model" / "params").rglob("*") if path.is_file() and path.stat().st_size
    )
    assert len(state) >= 4
    whole, refused = model_directory.load(tmp_path / "model").params, 0
    for number, path in enumerate(state):
        broken = tmp_path / f"broken-{number}"
        shutil.copytree(tmp_path / "model", broken)
        victim = broken / path.relative_to(tmp_path / "model")
        DAMAGES[damage](victim)
        try:
            again = model_directory.load(broken).params
        except errors.ModelDirectoryError:
            refused += 1
            continue
        for name, param in whole.items():  # Orbax can do without that file, and then nothing may have changed
            np.testing.assert_array_equal(again[name], param, err_msg=name)
    assert refused >= 2


def test_bfloat16_safetensors_are_read_and_returned(tmp_path):
    state = {name: tensor.bfloat16() for name, tensor in torch_reference.openai_state(tiny.model_config()).items()}
    state |= {"input_resolution": torch.tensor(32)}
    safetensors.torch.save_file(state, tmp_path / "clip.safetensors")
    weights = load.read_any(tmp_path / "clip.safetensors")
    export.export(weights, tmp_path / "back.safetensors", "openai", towers_only=False, overwrite=False)
    back = torch_files.read(tmp_path / "back.safetensors").tree
    assert back["visual.proj"].dtype == ml_dtypes.bfloat16
    assert same_bits(torch_files.read(tmp_path / "clip.safetensors").tree, back)


def test_trained_weights_that_no_longer_fit_float16_stay_float32(tmp_path):
    torch.save(torch_reference.openai_half(tiny.model_config()), tmp_path / "clip.pt")
    weights = load.read_any(tmp_path / "clip.pt")
    weights.params["image/projection/kernel"] = weights.params["image/projection/kernel"] * np.float32(1.0001)
    said = export.export(weights, tmp_path / "back.safetensors", "openai", towers_only=False, overwrite=False)
    assert "1 tensors stay float32" in said[0]
    back = torch_files.read(tmp_path / "back.safetensors").tree["visual.proj"]
    np.testing.assert_array_equal(back, weights.params["image/projection/kernel"])


def test_what_is_written_does_not_name_the_machine(tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path / "hugging")
    text.default_tokenizer().save_pretrained(tmp_path / "hugging")
    torch.save(torch_reference.source_checkpoint(tiny.source_config("LSTM")), tmp_path / "source.pt")
    for source, target in (("hugging", None), ("source.pt", None), ("hugging", "huggingface"), ("hugging", "openai")):
        out = tmp_path / f"out-{source}-{target}"
        out = out.with_suffix(".pt") if target == "openai" else out
        assert cli.main(["convert", str(tmp_path / source), str(out), *(["--to", target] if target else [])]) == 0
        for file in [file for file in (out, *out.rglob("*")) if file.is_file()]:
            assert str(tmp_path).encode() not in file.read_bytes(), file
        if not target:
            assert json.loads((out / "provenance.json").read_text())["source"] == source
            model_directory.load(out)


def test_absolute_places_become_names_and_all_else_stays():
    told = {"a": "/home/me/data", "b": ["C:\\Users\\me\\list.csv", "data/list.csv"], "c": {"d": "~/x", "e": 3}}
    told |= {
        "hub": "openai/clip",
        "cloud": "gs://bucket/x",
        "file": "file:///home/me/y",
        "none": None,
        "pattern": ".*/bias",
    }
    assert model_directory.without_places(told) == {
        **{"a": "data", "b": ["list.csv", "data/list.csv"], "c": {"d": "x", "e": 3}, "hub": "openai/clip"},
        **{"cloud": "gs://bucket/x", "file": "y", "none": None, "pattern": ".*/bias"},
    }


@pytest.mark.parametrize("head", ["Conv_1D", "LSTM", "Transf", "Transf_cls"])
def test_a_head_written_for_actionclip_has_all_that_it_loads_strictly(head, tmp_path):
    model = tiny.source_config(head)
    model = dataclasses.replace(model, temporal=dataclasses.replace(model.temporal, legacy_layout=True))
    weights = model_directory.Weights(
        model, tiny.random_params(model), text.default_tokenizer(), {"source": "training"}, {}
    )
    export.export(weights, tmp_path / "out.pt", "actionclip", towers_only=False, overwrite=False)
    written = torch.load(tmp_path / "out.pt", weights_only=True)["fusion_model_state_dict"]
    shapes = {name.removeprefix("module."): tensor.shape for name, tensor in written.items()}
    assert shapes == {name: tensor.shape for name, tensor in torch_reference.head_state(model).items()}
    again = load.read_any(tmp_path / "out.pt", frames=model.frames)
    for path, value in weights.params.items():
        np.testing.assert_array_equal(again.params[path], value)


def test_formats_without_a_place_for_the_temporal_head_say_so(tmp_path):
    torch.save(torch_reference.source_checkpoint(tiny.model_config("Transf")), tmp_path / "source.pt")
    weights = load.read_any(tmp_path / "source.pt")
    with pytest.raises(errors.CheckpointError, match="no place for the temporal head Transf"):
        export.export(weights, tmp_path / "out", "huggingface", towers_only=False, overwrite=False)
    said = export.export(weights, tmp_path / "out", "huggingface", towers_only=True, overwrite=False)
    assert "left out: the temporal head Transf" in said
    assert load.read_any(tmp_path / "out").model.temporal.head == "meanP"


def test_every_missing_unexpected_and_misshapen_tensor_is_named(tmp_path):
    state = torch_reference.openai_half(tiny.model_config())
    del state["visual.ln_post.bias"], state["transformer.resblocks.1.mlp.c_fc.weight"]
    state["visual.proj"] = state["visual.proj"].T.contiguous()
    state["ln_final.weight"] = torch.arange(128)
    state["extra.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(errors.CheckpointError) as raised:
        load.read_any(tmp_path / "clip.pt")
    for problem in (
        "'visual.ln_post.bias' is missing",
        "'transformer.resblocks.1.mlp.c_fc.weight' is missing",
        "'visual.proj' has shape (64, 128), expected (128, 64)",
        "'ln_final.weight' holds int64 numbers",
        "'extra.weight' is not a part of this model",
    ):
        assert problem in str(raised.value)


def test_another_image_size_is_interpolated_only_when_asked(tmp_path):
    torch.save(torch_reference.openai_half(tiny.model_config()), tmp_path / "clip.pt")
    plain, resized = load.read_any(tmp_path / "clip.pt"), load.read_any(tmp_path / "clip.pt", image_size=48)
    assert plain.model.image.size == 32
    assert resized.model.image.size == 48
    assert resized.params["image/position"].shape == (1 + 36, 128)
    np.testing.assert_array_equal(resized.params["image/position"][0], plain.params["image/position"][0])
    same = load.resize_image(plain, 32)
    np.testing.assert_allclose(same.params["image/position"], plain.params["image/position"], atol=1e-6)
    with pytest.raises(config.ConfigError, match="not a multiple"):
        load.read_any(tmp_path / "clip.pt", image_size=50)


class Evil:
    """Unpickles to a call."""

    def __reduce__(self):
        return print, ("code ran",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    for name, write in (
        ("zip.pt", torch.save),
        ("plain.pt", lambda value, path: path.write_bytes(pickle.dumps(value))),
    ):
        write({"visual.conv1.weight": Evil()}, tmp_path / name)
        with pytest.raises(errors.CheckpointError, match="refused: loading it could run code"):
            torch_files.read(tmp_path / name)
    assert "code ran" not in capsys.readouterr().out


def test_a_torchscript_archive_that_would_run_code_is_refused(tmp_path, capsys):
    torch.jit.script(torch_reference.Scripted({"weight": torch.ones(2)})).save(str(tmp_path / "good.pt"))
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "evil.pt", "w") as evil:
        for info in good.infolist():
            content = good.read(info)
            evil.writestr(info.filename, pickle.dumps(Evil(), 2) if info.filename.endswith("/data.pkl") else content)
    with pytest.raises(errors.CheckpointError, match=r"refused.*(print|builtin)"):
        torch_files.read(tmp_path / "evil.pt")
    assert "code ran" not in capsys.readouterr().out


def test_compressed_torchhandmade_are_refused_as_they_may_be_bombs(tmp_path):
    torch.jit.script(torch_reference.Scripted({"weight": torch.ones(2)})).save(str(tmp_path / "good.pt"))
    with (
        zipfile.ZipFile(tmp_path / "good.pt") as good,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for info in good.infolist():
            bomb.writestr(info.filename, good.read(info))
    with pytest.raises(errors.CheckpointError, match="compressed"):
        torch_files.read(tmp_path / "bomb.pt")


def scripted_tensor(shape, strides, key="0", count=2):
    """The pickle of a module with one tensor `w`."""
    return handmade.pickled(handmade.Module({"w": handmade.Tensor(shape, strides, 0, count, key)}))


def test_hand_made_archives_read_like_real_ones_and_hostile_ones_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    handmade.write(path, scripted_tensor((2,), (1,)))
    np.testing.assert_array_equal(torch_files.read(path).tree["w"], [1, 1])
    for shape, strides, key, count in (
        ((10**7, 640_000), (0, 0), "0", 2),
        ((2**70,), (1,), "0", 2),
        ((3,), (1,), "0", 2),
        ((2,), (-1,), "0", 2),
        ((2,), (1,), "gone", 2),
        ((2,), (1,), "0", 1),
    ):
        handmade.write(path, scripted_tensor(shape, strides, key, count))
        with pytest.raises(errors.CheckpointError, match=r"x\.pt|does not fit its storage"):
            torch_files.read(path)
    for pickled in (b"", b"\x80\x02}q\x00.", b"rubbish"):
        handmade.write(path, pickled)
        with pytest.raises(errors.CheckpointError):
            load.read_any(path)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02]r\xff\xff\xff\x7f.", "memo number 2147483647"),  # Python would make room for 2^31 places
        (b"\x80\x04\x8e" + (10**13).to_bytes(8, "little") + b"a.", "only 2 remain"),
    ],
)
def test_a_pickle_is_not_given_the_memory_it_asks_for(pickled, message, tmp_path):
    handmade.write(tmp_path / "x.pt", pickled)
    with pytest.raises(errors.CheckpointError, match=rf"x\.pt: not a readable.*{message}"):
        torch_files.read(tmp_path / "x.pt")


def test_archives_that_hold_more_than_their_bytes_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    for change, message in (
        (lambda entry: setattr(entry, "file_size", 1 << 40), "larger than the file"),
        (lambda entry: setattr(entry, "compress_type", zipfile.ZIP_DEFLATED), "compressed"),
    ):
        torch.save({"weight": torch.ones(2)}, path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("archive/more", "")
            change(archive.filelist[0])
        with pytest.raises(errors.CheckpointError, match=rf"x\.pt: refused: .*{message}"):
            torch_files.read(path)


def test_tensors_and_dictionaries_larger_than_their_file_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"weight": torch.ones(1).expand(10**5, 10**5)}, path)
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: refused: tensors of 40000000000 bytes"):
        torch_files.read(path)
    tied = torch.ones(1000)
    torch.save({"one": tied, "other": tied}, path)
    assert torch_files.read(path).tree.keys() == {"one", "other"}
    tree = {"weight": tied}
    for _ in range(40):
        tree = {"a": tree, "b": tree}
    torch.save(tree, path)
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: .*more than \d+ entries"):
        torch_files.read(path)


def test_tensors_without_numbers_promise_no_model(tmp_path):
    state = {name: tensor.numpy() for name, tensor in torch_reference.openai_half(tiny.model_config()).items()}
    state["positional_embedding"] = np.zeros((0, 128), np.float16)
    torch_files.write(tmp_path / "x.safetensors", state)
    with pytest.raises(errors.CheckpointError, match=r"not the shapes of a CLIP.*positional_embedding \(0, 128\)"):
        load.read_any(tmp_path / "x.safetensors")
    with pytest.raises(errors.CheckpointError, match="holds 1 numbers, and the model it describes has 1000000000000"):
        mapping.to_params([], {"kernel": (10**6, 10**6)}, {"kernel": np.zeros(1, np.float32)})


def test_a_pickle_cut_inside_a_number_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        for name, content in (("data.pkl", b"\x80\x02}r\x01"), ("version", b"3"), ("byteorder", b"little")):
            archive.writestr(f"x/{name}", content)
    with pytest.raises(errors.CheckpointError, match=r"x\.pt: not a readable PyTorch file"):
        torch_files.read(tmp_path / "x.pt")


def test_a_layer_number_out_of_all_proportion_is_refused(tmp_path):
    state = torch_reference.openai_half(tiny.model_config())
    state["visual.transformer.resblocks.2000000.ln_1.weight"] = torch.ones(128)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(errors.CheckpointError, match="a layer 2000000"):
        load.read_any(tmp_path / "clip.pt")


@pytest.mark.parametrize("kind", ["clip.pt", "script.pt", "clip.safetensors"])
def test_cut_and_foreign_files_are_named_not_traced(kind, tmp_path):
    path = tmp_path / kind
    if kind == "script.pt":
        torch.jit.script(torch_reference.Scripted({"weight": torch.ones(1000)})).save(str(path))
    elif kind == "clip.pt":
        torch.save({"weight": torch.ones(1000)}, path)
    else:
        safetensors.torch.save_file({"weight": torch.ones(1000)}, path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"this is text\n" * 10):
        path.write_bytes(content)
        with pytest.raises(errors.CheckpointError, match=path.name):
            torch_files.read(path)


def test_what_is_no_clip_is_refused_with_what_was_found(tmp_path):
    torch.save({"layer.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(errors.CheckpointError, match=r"not a CLIP.*layer\.weight"):
        load.read_any(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(errors.CheckpointError, match="holds a list"):
        load.read_any(tmp_path / "list.pt")
    with pytest.raises(errors.CheckpointError, match="no weights in this directory"):
        load.read_any(tmp_path)
    with pytest.raises(errors.CheckpointError, match="no such file"):
        load.read_any(tmp_path / "nowhere.pt")


def test_an_index_may_not_name_files_elsewhere(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    for content, message in (
        ('{"weight_map": {"a": "../secret.bin"}}', "outside its directory"),
        ('{"weight_map": {"a": "gone.bin"}}', r"missing: gone\.bin"),
        ("[1]", "holds a list"),
        ("{}", "not an index"),
    ):
        index.write_text(content)
        with pytest.raises(errors.CheckpointError, match=message):
            torch_files.read(tmp_path)


def test_without_pytorch_its_files_say_what_to_install_and_others_work(tmp_path, monkeypatch):
    state = torch_reference.openai_half(tiny.model_config())
    torch.save(state, tmp_path / "clip.pt")
    torch.jit.script(torch_reference.Scripted(state)).save(str(tmp_path / "script.pt"))
    safetensors.torch.save_file(state, tmp_path / "clip.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(errors.CheckpointError, match=r"pip install 'actionclip-jax\[torch\]'"):
        load.read_any(tmp_path / "clip.pt")
    weights = load.read_any(tmp_path / "script.pt")
    assert weights.model == load.read_any(tmp_path / "clip.safetensors").model
    with pytest.raises(errors.CheckpointError, match=r"pip install 'actionclip-jax\[torch\]'"):
        export.export(weights, tmp_path / "back.pt", "openai", towers_only=False, overwrite=False)


def test_verification_notices_a_wrong_weight(tmp_path):
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(tmp_path / "hugging")
    weights = load.read_any(tmp_path / "hugging")
    weights.params["text/blocks/attn/out/kernel"][1, 0, 0, 0] += 0.5
    model_directory.save(tmp_path / "model", weights)
    fine = {part.name: part.fine for part in verify.verify(tmp_path / "hugging", tmp_path / "model", None)}
    assert fine == {
        "pixels": True,
        "frame features": True,
        "clip features": True,
        "text features": False,
        "logits": False,
    }


def test_model_directories_are_whole_or_refused(tmp_path):
    torch.save(torch_reference.openai_half(tiny.model_config()), tmp_path / "clip.pt")
    weights = convert(tmp_path / "clip.pt", tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "params",
        "provenance.json",
        "tokenizer",
        "unused.safetensors",
    ]
    with pytest.raises(errors.ModelDirectoryError, match="already exists"):
        model_directory.save(tmp_path / "model", weights)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(errors.ModelDirectoryError, match="not overwritten"):
        model_directory.save(tmp_path / "mine", weights, overwrite=True)
    model_directory.save(tmp_path / "model", weights, overwrite=True)
    other = tmp_path / "model" / "config.json"
    other.write_text(other.read_text().replace('"depth": 2', '"depth": 3'))
    with pytest.raises(errors.ModelDirectoryError, match="do not fit the configuration"):
        model_directory.load(tmp_path / "model")
    described = other.read_text()
    other.write_text(described.replace('"width": 128', '"width": 1000000000'))
    with pytest.raises(errors.CheckpointError, match=r"model: the configuration.*\n.*width is 1000000000: expected at"):
        load.read_any(tmp_path / "model")
    other.write_text(described.replace('"version": 2', '"version": 3'))
    with pytest.raises(errors.ModelDirectoryError, match="version 3"):
        model_directory.load(tmp_path / "model")
    other.unlink()
    with pytest.raises(errors.ModelDirectoryError, match="not a whole model directory"):
        model_directory.load(tmp_path / "model")
