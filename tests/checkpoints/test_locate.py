"""A name that is no model: said at once what it is, or what was meant."""

import json
import logging
import time
import zipfile

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
import torch_reference
import videos
from huggingface_hub import errors as hub_errors
from PIL import Image

from actionclip_jax import cli, config, text
from actionclip_jax.checkpoints import errors, load, locate, model_directory, released, torch_files


def refusal(name):
    with pytest.raises(errors.CheckpointError) as caught:
        load.read_any(name)
    return str(caught.value)


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("frames/1.jpg", b"x")


OTHERS = {
    "clip.mp4": (videos.write, "is a video (MP4 or MOV)"),
    "clip.mkv": (videos.write, "is a video (Matroska or WebM)"),
    "clip.avi": (videos.write, "is a video (AVI)"),
    "clip.pt": (lambda path: videos.write(path.with_suffix(".mp4")).rename(path), "is a video (MP4 or MOV)"),
    "labels.txt": (lambda path: path.write_text("archery\nsurfing\n"), "is a text file"),
    "wide.txt": (lambda path: path.write_text("archery\n", encoding="utf-16"), "is a text file"),
    "labels.csv": (lambda path: path.write_text("id,name\n0,archery\n"), "is a CSV table"),
    "labels.json": (lambda path: path.write_text('{"a": 1}'), "is a JSON file"),
    "run.py": (lambda path: path.write_text("def get_config(): ..."), "is Python code"),
    "notes": (lambda path: path.write_text("notes"), "is a text file"),
    "picture.png": (lambda path: Image.new("RGB", (8, 8)).save(path), "is a picture (PNG)"),
    "picture.jpg": (lambda path: Image.new("RGB", (8, 8)).save(path), "is a picture (JPEG)"),
    "picture.webp": (lambda path: Image.new("RGB", (8, 8)).save(path), "is a picture (WebP)"),
    "frames.zip": (write_zip, "is a zip archive of other files (frames/1.jpg)"),
    "arrays.npz": (lambda path: np.savez(path, a=np.ones(2)), "img/embedding/kernel', found a"),
    "array.npy": (lambda path: np.save(path, np.ones(2)), "is a NumPy array"),
    "empty.pt": (lambda path: path.write_bytes(b""), "is an empty file"),
    "lfs.pt": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS"),
    "weights.tar.gz": (lambda path: path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(50)), "is a gzip archive"),
    "noise.pt": (lambda path: path.write_bytes(b"\x01\x02\x03" * 50), "is a file of an unknown kind"),
    "cut.pt": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "a zip archive that is damaged or cut short"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(name, tmp_path):
    write, message = OTHERS[name]
    write(tmp_path / name)
    said = refusal(tmp_path / name)
    assert message in said and "could run code" not in said


def test_safetensors_under_another_name_say_how_to_name_them(tmp_path):
    torch_files.write(tmp_path / "clip.safetensors", {"weight": np.ones(3, np.float32)})
    (tmp_path / "clip.safetensors").rename(tmp_path / "clip.bin")
    assert "is a safetensors file by its content: give it the ending .safetensors" in refusal(tmp_path / "clip.bin")


def test_a_header_that_looks_like_a_picture_is_still_a_safetensors_file(tmp_path):
    names = {f"t{i:04}": np.ones(1, np.float32) for i in range(400)}
    torch_files.write(tmp_path / "a.safetensors", names)
    data = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    size = int.from_bytes(b"BM", "little") + 65536  # a header of this length begins like a bitmap
    header = data[8 : 8 + length] + b" " * (size - length)
    (tmp_path / "a.safetensors").write_bytes(size.to_bytes(8, "little") + header + data[8 + length :])
    assert (tmp_path / "a.safetensors").read_bytes().startswith(b"BM")
    assert torch_files.read(tmp_path / "a.safetensors").tree.keys() == names.keys()


def test_a_directory_of_videos_is_called_what_it_holds(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.mp4").touch()
    said = refusal(tmp_path)
    assert "no weights in this directory, which holds 4 entries such as 0.mp4, 1.mp4, 2.mp4" in said


def test_a_workdir_names_the_model_in_it(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"format": model_directory.FORMAT}))
    assert f"did you mean {tmp_path / 'model'}?" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_an_error_and_not_the_current_directory(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": model_directory.FORMAT}))
    assert cli.main(["convert", name, "there"]) == 2
    assert "is empty" in capsys.readouterr().err
    assert "is empty" in refusal(name)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs where nothing is, and keeps what the hub is asked for: it is out of reach, and nothing was fetched."""
    questions = []

    def model_info(repository, timeout):
        questions.append((repository, timeout))
        raise ConnectionError("Name or service not known")

    def hf_hub_download(repository, name, local_files_only=False):
        assert local_files_only, "the hub was asked again"
        raise hub_errors.LocalEntryNotFoundError("not here")

    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.chdir(tmp_path)
    return questions


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ViT-B/32", "openai/clip-vit-base-patch32"),
        ("ViT-B-16", "openai/clip-vit-base-patch16"),
        ("vit-b-16", "openai/clip-vit-base-patch16"),
        ("vit_b_32", "openai/clip-vit-base-patch32"),
        ("ViT-L/14", "openai/clip-vit-large-patch14"),
        ("ViT-L/14@336px", "openai/clip-vit-large-patch14-336"),
        ("clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("clip-vit-b-32", "openai/clip-vit-base-patch32"),
    ],
)
def test_names_of_models_that_are_on_the_hub_are_asked_for_there(name, meant, asked, told):
    assert f"{meant}: no such file or directory here" in refusal(name)
    assert [repository for repository, _ in asked] == [meant] and f"{name}: {meant} on the Hugging Face hub" in told


@pytest.mark.parametrize("name", ["./vit-b-16", "/vit-b-16", "~/vit-b-16"])
def test_a_path_is_never_taken_for_the_name_of_a_model(name, asked):
    assert "no such file or directory" in refusal(name)
    assert not asked


def test_what_lies_here_goes_before_a_name(asked, tmp_path):
    tiny.save_model(tmp_path / "clip-vit-b-16", tiny.model_config())
    assert load.read_any("clip-vit-b-16").model == tiny.model_config() and not asked


@pytest.mark.parametrize("model", [model for model in released.MODELS if model.code or model.publisher == "mmaction2"])
def test_a_model_that_is_on_no_hub_says_where_it_is_and_what_to_run_on_it(model, asked):
    said = refusal(model.name)
    assert model.where in said and f"actionclip convert FILE models/{model.name}" in said and not asked
    assert ("--frames" in said) == (model.publisher == "ActionCLIP")


def test_a_mistyped_name_says_which_is_meant(asked):
    assert "did you mean sample?" in refusal("smaple") and not asked


@pytest.mark.parametrize(
    "name",
    ["./models/x", "../models", "/no/such", "models/a/b", "~/models/x", "a/b.pt", "vit-b-16-8f", "x/", "model/x.ckpt"],
)
def test_what_can_only_be_a_path_is_not_asked_for(name, asked):
    assert "no such file or directory" in refusal(name)
    assert not asked


@pytest.mark.parametrize("name", ["gs://bucket/model", "https://huggingface.co/openai/clip-vit-base-patch32"])
def test_addresses_are_refused_with_what_is_read(name, asked):
    assert "only local files, directories and hub names owner/name are read" in refusal(name)
    assert not asked


def test_a_video_in_the_place_of_the_model_is_called_one(tmp_path, capsys):
    (tmp_path / "v.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 99)
    assert cli.main(["predict", str(tmp_path / "v.mp4"), str(tmp_path), "--labels", "run, swim"]) == 2
    assert "v.mp4: is a video (MP4 or MOV), not a checkpoint" in capsys.readouterr().err


def test_a_home_that_is_not_there_is_no_directory(asked):
    assert "no such file or directory" in refusal("~no-such-user/model")
    assert not asked


def test_a_mistyped_local_path_is_not_asked_for_unless_the_hub_is_meant(asked, tmp_path):
    (tmp_path / "models").mkdir()
    said = refusal("models/vit-b-16-8f")
    assert "no such file or directory, though models is here; if you meant the hub, give hub:models/vit-b-16-8f" in said
    assert not asked
    refusal("hub:models/vit-b-16-8f")
    assert [name for name, _ in asked] == ["models/vit-b-16-8f"]


def test_without_a_network_the_hub_is_asked_once_and_one_line_says_so(asked, caplog, capsys):
    begin = time.perf_counter()
    with caplog.at_level(logging.WARNING):
        assert cli.main(["convert", "nobody-here/no-such-model", "there"]) == 2
    assert time.perf_counter() - begin < 2
    assert len(asked) == 1 and asked[0][1][0] <= 3
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1 and "download it where there is a network" in said[0]
    assert not caplog.records


def test_offline_mode_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # HF_HUB_OFFLINE is set for all tests
    assert "the hub did not give it" in refusal("nobody-here/no-such-model")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository in two shards; what was fetched is in a copy of its own."""
    there, copy = tmp_path / "hub", tmp_path / "copy"
    torch_reference.hugging_clip(tiny.model_config()).save_pretrained(there, max_shard_size="8MB")
    text.default_tokenizer().save_pretrained(there)
    copy.mkdir()
    fetched = []

    def model_info(repository, timeout):
        assert repository == "openai/tiny-clip"
        siblings = [huggingface_hub.hf_api.RepoSibling(rfilename=file.name) for file in there.iterdir()]
        return huggingface_hub.ModelInfo(id=repository, siblings=[vars(part) for part in siblings])

    def hf_hub_download(repository, name, local_files_only=False):
        if local_files_only:
            if not (copy / name).exists():
                raise hub_errors.LocalEntryNotFoundError("not here")
            return str(copy / name)
        fetched.append(name)
        (copy / name).write_bytes((there / name).read_bytes())
        return str(copy / name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return fetched


def test_a_hub_name_is_fetched_whole_shards_included_and_serves_without_a_network(hub, monkeypatch):
    weights = load.read_any("openai/tiny-clip")
    assert sum(name.startswith("model-") for name in hub) > 1 and "tokenizer.json" in hub
    assert "preprocessor_config.json" not in hub  # which this repository has not
    assert (weights.provenance["source"], weights.model.image.depth) == ("openai/tiny-clip", 2)
    monkeypatch.setattr(huggingface_hub, "model_info", lambda *args, **options: 1 / 0)
    assert load.read_any("openai/tiny-clip").model == weights.model


def test_a_hub_repository_without_weights_says_what_was_looked_for(hub, monkeypatch):
    monkeypatch.setattr(locate, "listed", lambda repository: {"flax_model.msgpack", "config.json"})
    assert "the hub repository holds none of model.safetensors" in refusal("openai/tiny-clip")


def test_a_real_pytorch_file_is_still_read(tmp_path):
    for serialised in (True, False):
        torch.save({"weight": torch.ones(3)}, tmp_path / "x.pt", _use_new_zipfile_serialization=serialised)
        np.testing.assert_array_equal(torch_files.read(tmp_path / "x.pt").tree["weight"], np.ones(3))


@pytest.mark.parametrize("new", [True, False])
def test_pytorch_files_under_another_name_say_how_to_name_them(new, tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "x.safetensors", _use_new_zipfile_serialization=new)
    said = refusal(tmp_path / "x.safetensors")
    assert said.endswith("is a PyTorch file by its content: give it the ending .pt")


def test_numbers_of_8_bits_say_what_is_read(tmp_path):
    state = {"weight": torch.zeros(4).to(torch.float8_e4m3fn)}
    torch.save(state, tmp_path / "x.pt")
    safetensors.torch.save_file(state, tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        assert "holds float8_e4m3fn numbers" in refusal(tmp_path / name)
    torch.save({"weight": torch.eye(3).to_sparse()}, tmp_path / "x.pt")
    assert "holds sparse_coo numbers" in refusal(tmp_path / "x.pt")


def test_a_part_of_a_model_directory_names_the_directory(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"format": model_directory.FORMAT}))
    for name in ("params", "config.json"):
        with pytest.raises(errors.ModelDirectoryError, match="a part of a model directory: did you mean"):
            load.read_any(tmp_path / name)


@pytest.mark.parametrize("content", [None, "", "{}"])
def test_a_model_directory_without_its_config_is_called_one(content, tmp_path):
    for name in ("params", "tokenizer"):
        (tmp_path / name).mkdir()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert "a model directory whose config.json is missing or damaged" in refusal(tmp_path)


def test_open_clips_spelling_of_the_hub_is_understood(hub):
    assert load.read_any("hf-hub:openai/tiny-clip").model.image.depth == 2


def test_a_tokenizer_of_another_kind_is_called_by_its_name(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}')
    with pytest.raises(ValueError, match="BertTokenizerFast: another kind of tokenizer than CLIP's"):
        text.load_tokenizer(tmp_path, config.TextConfig())
