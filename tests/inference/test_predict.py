"""From a video file to probabilities: equal to the same pipeline in PyTorch and PIL, and not stopped by a bad file."""

import csv
import json
import pathlib

import av
import numpy as np
import pytest
import tiny
import torch
import torch_reference
import transformers
import videos
from local_data import TEST_DATA, needs_test_data
from PIL import Image

import actionclip_jax
from actionclip_jax import cli, config, text
from actionclip_jax.checkpoints import formats, huggingface, load, model_directory, torch_files, torch_models, verify
from actionclip_jax.data import label_files, video
from actionclip_jax.inference import predict

LABELS = ("archery", "playing the violin", "surfing")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "tiny-4f.pt"
    torch.save(torch_reference.source_checkpoint(tiny.source_config("Transf")), path)
    return path


@pytest.fixture(scope="module")
def directory(source):
    path = source.with_name("model")
    model_directory.save(path, load.read_any(source, frames=tiny.FRAMES))
    return path


@pytest.fixture(scope="module")
def model(directory):
    return actionclip_jax.load(directory)


@pytest.fixture
def clip_file(tmp_path):
    return videos.write(tmp_path / "clip.mp4", frames=30)


@torch.inference_mode()
def torch_pipeline(source, path, frames, size, views=(1, 1)):
    """Frames by PyAV, pixels by PIL, features by transformers, probabilities by torch: written down a second time."""
    recognised = formats.recognise(torch_files.read(source), frames=frames)
    towers, head = torch_models.towers(recognised), torch_models.TemporalHead(recognised)
    with av.open(str(path)) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)]
    count, clips = len(pictures), []
    for view in range(views[0]):
        times = [(i + (view + 0.5) / views[0]) * count / frames - 0.5 for i in range(frames)]
        chosen = [pictures[int(max(0, time) + 1e-9)] for time in times]
        for crop in range(views[1]):
            clips.append([torch_crop(picture, size, crop, views[1]) for picture in chosen])
    mean, std = torch.tensor(config.CLIP_MEAN), torch.tensor(config.CLIP_STD)
    pixels = (torch.tensor(np.array(clips)).float() / 255 - mean) / std
    per_frame = torch_models.image_features(towers, recognised, pixels.movedim(-1, 2))
    features = torch.nn.functional.normalize(head(per_frame))
    tokenizer, rows = text.default_tokenizer(), []
    for template in text.ACTIONCLIP_TEMPLATES:
        ids = [tokenizer(template.replace("{}", label))["input_ids"] for label in LABELS]
        ids = torch.tensor([row + [0] * (77 - len(row)) for row in ids])
        hidden = towers.text_model(input_ids=ids).last_hidden_state[torch.arange(len(ids)), ids.argmax(1)]
        classes = torch.nn.functional.normalize(towers.text_projection(hidden))
        rows.append((100 * features @ classes.T).softmax(dim=1))
    return torch.stack(rows).mean(dim=(0, 1)).numpy(), np.array(clips)


def torch_crop(picture, size, crop, crops):
    """Short side to 256/224 of the size, bicubic, then a square; crops go along the longer side."""
    short = size * 256 // 224
    scale = short / min(picture.size)
    width, height = (short if side == min(picture.size) else int(side * scale) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if crops > 1:
        left = round(crop * (width - size) / (crops - 1))
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("views", [(1, 1), (3, 2)])
def test_the_whole_way_equals_torch_and_pil(views, model, source, clip_file):
    result = model.predict(clip_file, LABELS, views=views, keep_images=True)
    expected, pixels = torch_pipeline(source, clip_file, tiny.FRAMES, 32, views)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-4)
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(result.images.astype(int), pixels[(views[1] - 1) // 2], atol=1)
    assert result.frames.shape == result.timestamps.shape == (views[0], tiny.FRAMES)
    if views == (1, 1):
        assert result.frames.tolist() == [[3, 10, 18, 25]]
        np.testing.assert_allclose(result.timestamps, result.frames / 25)


def test_a_checkpoint_predicts_without_being_converted_first(model, source, clip_file):
    direct = actionclip_jax.load(source, frames=tiny.FRAMES).predict(clip_file, LABELS)
    np.testing.assert_allclose(direct.probabilities, model.predict(clip_file, LABELS).probabilities, atol=1e-6)


def test_encoders_give_unit_vectors_whatever_the_number_of_texts(model):
    clips = np.random.default_rng(0).integers(0, 256, (2, tiny.FRAMES, 32, 32, 3), np.uint8)
    texts = [f"a person doing thing number {number}" for number in range(70)]
    for features, count in ((model.encode_video(clips), 2), (model.encode_text(texts), 70)):
        assert (features.shape, features.dtype) == ((count, 64), np.float32)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(model.encode_text(texts[:1]), model.encode_text(texts)[:1], atol=1e-6)
    assert model.encode_text([]).shape == (0, 64)
    with pytest.raises(ValueError, match="expected a list of texts"):
        model.encode_text("archery")
    with pytest.raises(ValueError, match=r"uint8 \(1, 0, 32, 32, 3\): expected"):
        model.encode_video(np.zeros((1, 0, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"float64 \(1, 4, 32, 32, 3\): expected uint8 \(clips, frames, 32, 32, 3\)"):
        model.encode_video(np.zeros((1, 4, 32, 32, 3)))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_and_bad_files_change_nothing_for_the_others(batch_size, model, tmp_path):
    paths = [videos.write(tmp_path / f"{number}.mp4", frames=20 + 5 * number) for number in range(4)]
    (tmp_path / "empty.mp4").touch()
    paths.insert(2, tmp_path / "empty.mp4")
    paths.append(videos.write_audio_only(tmp_path / "sound.mp4"))
    results = model.predict(paths, LABELS, batch_size=batch_size, views=(2, 1))
    assert [getattr(result, "reason", None) for result in results] == [
        None,
        None,
        "the file is empty",
        None,
        None,
        "has no video stream",
    ]
    for path, result in zip(paths, results, strict=True):
        assert str(path) == result.path
        if not isinstance(result, video.VideoError):
            alone = model.predict(path, LABELS, views=(2, 1))
            np.testing.assert_allclose(result.probabilities, alone.probabilities, atol=1e-5)
    with pytest.raises(video.VideoError, match=r"empty\.mp4: the file is empty"):
        model.predict(paths[2], LABELS)


def test_a_truncated_video_is_predicted_and_noted(model, tmp_path):
    path = videos.cut(videos.write(tmp_path / "half.mp4", frames=60, mux={"movflags": "faststart"}))
    result = model.predict(path, LABELS)
    assert result.note.startswith("truncated: ") and result.note.endswith("of 60 frames decode; those were used")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "there are none"),
        (["a", " "], "empty at position 2"),
        (["a", "b", "a "], "'a'"),
        ("a, b", "expected a list"),
        (["a", "b" * 10**6], r"too long: 'b{100}' \.\.\.$"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels, message, model, clip_file):
    with pytest.raises(ValueError, match=message):
        model.predict(clip_file, labels)


def test_frames_and_views_that_make_no_sense_are_refused_before_decoding(model, source):
    with pytest.raises(ValueError, match="at least 1"):
        model.predict("nowhere.mp4", LABELS, views=(0, 1))
    with pytest.raises(ValueError, match="100 frames were given, but the model has learned positions for 77"):
        model.predict("nowhere.mp4", LABELS, frames=100)
    with pytest.raises(ValueError, match="at least 1"):
        model.predict("nowhere.mp4", LABELS, frames=0)
    with pytest.raises(ValueError, match="views_time x views_space is 1000000000 x 1"):
        model.predict("nowhere.mp4", LABELS, views=(10**9, 1))
    stretched = actionclip_jax.load(source, frames=tiny.FRAMES, interpolate_positions=True)
    with pytest.raises(video.VideoError, match="no such file"):
        stretched.predict("nowhere.mp4", LABELS, frames=100)


def test_class_embeddings_are_cached_by_weights_templates_and_labels(directory, tmp_path, monkeypatch):
    first = actionclip_jax.load(directory, cache=tmp_path)
    classes = first.encode_classes(LABELS, ("{}", "a {}"))
    again = actionclip_jax.load(directory, cache=tmp_path)
    monkeypatch.setattr(predict.Predictor, "encode_text", lambda self, texts: pytest.fail("encoded again"))
    np.testing.assert_array_equal(again.encode_classes(LABELS, ("{}", "a {}")), classes)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1
    again.encode_classes(LABELS, ("{}",))
    again.encode_classes(LABELS[:2], ("{}", "a {}"))
    weights = model_directory.load(directory)
    weights.params["text/projection/kernel"] *= 2
    changed = predict.Predictor(weights, first.compute, tmp_path)
    changed.encode_classes(LABELS, ("{}", "a {}"))
    assert len(list(tmp_path.iterdir())) == 4


def run_command(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_command_prints_ranked_labels_and_writes_json_and_sheet(directory, clip_file, tmp_path, capsys):
    out, sheet = tmp_path / "out" / "result.json", tmp_path / "out" / "sheet.png"
    code = run_command("predict", directory, clip_file, "--labels", ", ".join(LABELS), "--json", out, "--sheet", sheet)
    assert code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("clip.mp4") and len(printed) == 4
    written = json.loads(out.read_text())
    (result,) = written["results"]
    assert written["labels"] == list(LABELS) and written["frames"] == tiny.FRAMES
    assert list(result["probabilities"].values()) == sorted(result["probabilities"].values(), reverse=True)
    assert result["frames"] == [[3, 10, 18, 25]]
    assert printed[1].split("  ")[1].strip() == next(iter(result["probabilities"]))
    picture = np.asarray(Image.open(sheet).convert("RGB"))
    assert picture.shape[1] == 1600 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_labels_are_shown_as_they_are(directory, clip_file, tmp_path, capsys):
    labels = ("[red]x[/]", ":fire: $5 or $\\bad$", "射箭", "x" * 70)
    sheet = tmp_path / "sheet.png"
    assert run_command("predict", directory, clip_file, "--labels", ",".join(labels), "--sheet", sheet) == 0
    printed = capsys.readouterr().out
    assert all(label in printed for label in labels) and sheet.is_file()


def test_labels_and_paths_give_no_orders_to_the_terminal(directory, tmp_path, capsys):
    path = videos.write(tmp_path / "\x1b[2Jclip.mp4")
    assert run_command("predict", directory, path, "--labels", "ru\x1b]0;x\x07n,ju\x9bmp") == 0
    printed = "".join(capsys.readouterr())
    assert "\\x1b[2Jclip.mp4" in printed and "ru\\x1b]0;x\\x07n" in printed and "ju\\x9bmp" in printed
    assert not set("\x1b\x07\x9b") & set(printed)


def test_a_cache_that_cannot_be_written_only_costs_time(directory, clip_file, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run_command("predict", directory, clip_file, "--labels", "a,b") == 0


def test_stopping_keeps_what_is_done(directory, clip_file, tmp_path, monkeypatch, capsys):
    def one_then_stop(self, videos, labels, **options):
        yield original(self, videos[:1], labels, **options).__next__()
        raise KeyboardInterrupt

    original = predict.Predictor.predict_each
    monkeypatch.setattr(predict.Predictor, "predict_each", one_then_stop)
    out = tmp_path / "result.json"
    other = videos.write(tmp_path / "other.mp4", frames=8)
    assert run_command("predict", directory, clip_file, other, "--labels", "a,b", "--json", out) == 130
    assert len(json.loads(out.read_text())["results"]) == 1
    assert "stopped after 1 of 2 videos" in capsys.readouterr().err


def test_the_command_goes_on_after_bad_files_and_says_so_by_its_exit_code(directory, clip_file, tmp_path, capsys):
    (tmp_path / "note.mp4").write_text("not a video")
    out = tmp_path / "result.json"
    sheets = tmp_path / "sheet.png"
    files_given = [*(videos.write(tmp_path / f"v{i:02}.mp4", frames=8) for i in range(13)), tmp_path / "note.mp4"]
    arguments = ["--labels", "a,b", "--json", out, "--csv", "-", "--sheet", sheets, "--top", 1]
    assert run_command("predict", directory, *files_given, *arguments) == 1
    printed, error = capsys.readouterr()
    assert "note.mp4: " in error and "1 of 14 videos could not be used" in error and "Traceback" not in error
    results = json.loads(out.read_text())["results"]
    assert len(results) == 14 and "error" in results[-1] and "probabilities" in results[0]
    assert sorted(path.name for path in tmp_path.glob("sheet*")) == ["sheet-2.png", "sheet.png"]
    assert all(f"wrote {tmp_path / page}\n" in error for page in ("sheet.png", "sheet-2.png"))
    rows = list(csv.reader(printed.splitlines()))
    assert rows[0] == ["video", "class_name", "probability", "note", "error", "p(a)", "p(b)"] and len(rows) == 15
    for row, result in zip(rows[1:-1], results[:-1], strict=True):
        best = next(iter(result["probabilities"].items()))
        assert (row[0], row[1], float(row[2])) == (result["video"], *best)
        assert {"a": float(row[5]), "b": float(row[6])} == result["probabilities"]
    assert rows[-1] == [results[-1]["video"], "", "", "", results[-1]["error"], "", ""]


def test_a_label_may_be_called_like_a_column(directory, clip_file, tmp_path):
    out = tmp_path / "out.csv"
    assert run_command("predict", directory, clip_file, "--labels", 'video,error,"x"', "--csv", out) == 0
    header, row = csv.reader(out.read_text().splitlines())
    assert header[5:] == ["p(video)", "p(error)", 'p("x")'] and row[0] == str(clip_file) and row[4] == ""
    assert sum(map(float, row[5:])) == pytest.approx(1, abs=1e-5)


def test_json_and_a_table_do_not_share_standard_output(directory, clip_file, capsys):
    given = ["predict", directory, clip_file, "--labels", "a,b", "--json", "-", "--csv", "-"]
    assert run_command(*given) == 2
    assert "--json - and --csv - would mix on standard output" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["--timeline"]])
def test_labels_that_are_the_same_text_are_refused_with_both_spellings(option, directory, clip_file, capsys):
    for first, second in (("a red circle", "A Red Circle"), ("Surf", "surf"), ("YoYo", "yo yo")):
        labels = f"{first}, {second},archery"
        assert run_command("predict", directory, clip_file, "--labels", labels, "--no-cache", *option) == 2
        said = capsys.readouterr()
        assert f"'{first}' and '{second}' are the same text" in said.err and not said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{clip}", "--labels", "a,b"], "nowhere: no such file or directory"),
        (["{model}", "nothing*.mp4", "gone.avi", "--labels", "a,b"], "no video found for: nothing*.mp4, gone.avi"),
        (["{model}", "{clip}", "--labels", "a,,b"], "empty at position 2"),
        (["{model}", "{clip}", "--labels", "a,b", "--sheet", "sheet.jpg"], "ending in .png"),
        (["{model}", "{clip}", "--labels", "a,b", "--templates", "clip"], "actionclip or none"),
        (["{model}", "{clip}", "--labels", "a,b", "--frames", "99"], "--interpolate-positions"),
        (["{model}", "{clip}", "--labels", "a,b", "--attention", "cudnn"], "cudnn needs an NVIDIA GPU"),
        (["{model}", "{clip}", "--labels", "go " * 80], "needs 8"),
        (["{model}", "{clip}", "--labels", "a,b", "--json", "{model}"], "Is a directory"),
        (["{model}", "{clip}", "--labels", "a,b", "--csv", "{model}"], "Is a directory"),
    ],
)
def test_the_command_explains_mistakes_without_a_traceback(arguments, message, directory, clip_file, capsys):
    given = [argument.format(model=directory, clip=clip_file) for argument in arguments]
    assert run_command("predict", *given) == 2
    error = capsys.readouterr().err
    assert message in error.replace("\n", " ") and "Traceback" not in error


@pytest.mark.parametrize("labels", [["archery", 1], {0: "archery"}, 5, [None]])
def test_labels_that_are_no_texts_are_refused(labels, model):
    with pytest.raises(ValueError, match="expected a list of texts"):
        model.predict("a.mp4", labels)


@pytest.mark.parametrize("labels", ["['archery', 'surfing']", '["archery", "surfing"]', "'archery','surfing'"])
def test_labels_of_a_program_are_refused(labels, directory, clip_file, capsys):
    assert run_command("predict", directory, clip_file, "--labels", labels) == 2
    assert "expected texts without brackets and quotes: archery, surfing" in capsys.readouterr().err


def test_texts_of_a_label_file_are_read_as_they_are(directory, clip_file, tmp_path):
    (tmp_path / "l.csv").write_text("name,text\nc1,TaiChi\nc2,YoYo\n")
    file = tmp_path / "out.json"
    assert run_command("predict", directory, clip_file, "--labels-file", tmp_path / "l.csv", "--json", file) == 0
    assert json.loads(file.read_text())["texts"] == ["TaiChi", "YoYo"]


def test_labels_come_from_text_and_csv_files(tmp_path):
    def read(name, content):
        (tmp_path / name).write_bytes(content.encode())
        return [*label_files.read(tmp_path / name).names]

    assert read("a.txt", "archery, with bow\r\n\r\nsurfing\n") == ["archery, with bow", "surfing"]
    assert read("b.csv", '\ufeffid,name\n0,"archery, with bow"\n1,surfing\n') == ["archery, with bow", "surfing"]
    assert read("c.csv", "0,archery\n1,surfing\n") == ["archery", "surfing"]
    assert read("d.csv", "archery\nsurfing\n") == ["archery", "surfing"]
    with pytest.raises(ValueError, match=r"g\.csv, line 2: not a CSV file"):
        read("g.csv", 'name\n"never closed\n')
    with pytest.raises(ValueError, match="the first row has 2 cells, but line 2 has 1"):
        read("e.csv", "0,archery\nsurfing\n")
    (tmp_path / "f.txt").write_bytes("fine\ncafé\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"f\.txt, line 2: not UTF-8"):
        label_files.read(tmp_path / "f.txt")


def test_convert_verifies_overwrites_and_writes_back(source, tmp_path, capsys):
    assert run_command("convert", source, tmp_path / "model", "--frames", tiny.FRAMES, "--verify") == 0
    printed = capsys.readouterr()
    assert "ActionCLIP source: ViT 128x2/8@32" in printed.err and "Transf" in printed.err
    lines = printed.out.splitlines()
    names = ("pixels", "frame features", "clip features", "text features", "logits")
    assert all(line.startswith(name) and line.endswith("equal") for name, line in zip(names, lines, strict=True))
    assert run_command("convert", source, tmp_path / "model") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run_command("convert", source, tmp_path / "model", "--overwrite") == 0
    assert run_command("convert", tmp_path / "model", tmp_path / "back.pt", "--to", "actionclip") == 0
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    original = torch.load(source, weights_only=True)
    for part in ("model_state_dict", "fusion_model_state_dict"):
        assert all(torch.equal(back[part][name], tensor) for name, tensor in original[part].items())
    assert run_command("convert", tmp_path / "model", tmp_path / "x.pt", "--to", "openai") == 2
    assert "no place for the temporal head" in capsys.readouterr().err
    assert run_command("convert", tmp_path / "model", tmp_path / "x.pt", "--to", "openai", "--towers-only") == 0
    assert run_command("convert", tmp_path / "model", tmp_path / "y", "--verify") == 2


def test_a_wrong_conversion_fails_verification(source, tmp_path, monkeypatch, capsys):
    wrong = verify.Difference("logits", 1.0, 0.5)
    monkeypatch.setattr(verify, "verify", lambda *arguments: [wrong])
    assert run_command("convert", source, tmp_path / "model", "--verify") == 1
    assert "the conversion is wrong" in capsys.readouterr().err


@needs_test_data
def test_every_odd_video_is_predicted_or_explained(directory, tmp_path, capsys):
    out = tmp_path / "odd.json"
    code = run_command("predict", directory, TEST_DATA / "odd-videos", "--labels", ", ".join(LABELS), "--json", out)
    assert code == 0
    results = {pathlib.Path(result["video"]).name: result for result in json.loads(out.read_text())["results"]}
    assert len(results) == 13
    assert "49 of 50 frames decode" in results["dmlc_corrupted.mp4"]["note"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("size", ["ViT-B/32", "ViT-B/16", "ViT-L/14"])
@pytest.mark.slow
def test_full_size_towers_equal_transformers(size, tmp_path):
    from actionclip_jax import config

    towers = transformers.CLIPModel._from_config(huggingface.describe(config.clip_model(size)))
    torch_reference.shake(towers).save_pretrained(tmp_path / "hugging")
    del towers
    weights = load.read_any(tmp_path / "hugging", frames=2)
    assert config.size_name(weights.model) == size
    model_directory.save(tmp_path / "model", weights)
    del weights
    for difference in verify.verify(tmp_path / "hugging", tmp_path / "model", None):
        assert difference.relative <= 1e-4, difference
