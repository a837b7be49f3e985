"""Windows over long videos: each is what `encode_video` makes of its frames, and every frame is encoded once."""

import dataclasses
import json
import math
import weakref

import numpy as np
import pytest
import tiny
import videos
from PIL import Image
from slow import slow

from actionclip_jax import cli, config, progress, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data import video
from actionclip_jax.data.video import stream, times, upright, views
from actionclip_jax.inference import class_scores, predict, timeline, windows

LABELS = ("archery", "playing the violin", "surfing")
PLAIN = {"templates": ("{}",)}
IRREGULAR = np.random.default_rng(0).integers(5, 90, 60).cumsum().tolist()  # milliseconds


def predictor(model):
    weights = model_directory.Weights(model, tiny.random_params(model), text.default_tokenizer(), {}, {})
    return predict.Predictor(weights, config.ComputeConfig())


@pytest.fixture(scope="module")
def model():
    return predictor(tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("timeline") / "model", tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """Four seconds, 100 frames."""
    return videos.write(tmp_path_factory.mktemp("timeline") / "clip.mp4", frames=100)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def numbers_shown(seconds, spacing, cells):
    """Of frames shown from these times on the numbers of those on display half of 1/25 s before the cells' middles."""
    middles = (np.arange(cells) + 0.5) * spacing
    return np.maximum(np.searchsorted(seconds, middles - 0.02 + 1e-6, side="right") - 1, 0)


def grid_frames(path, spacing, cells):
    """The frames that represent cells, from a full decode, as the model sees them."""
    images, times, base = videos.decode_everything(path)
    shown = numbers_shown(np.array([float((time - times[0]) * base) for time in times]), spacing, cells)
    transform = views.view_transform(config.SampleConfig(size=32))
    return np.concatenate([transform(np.ascontiguousarray(images[number])) for number in shown])


@pytest.mark.parametrize("head", ["Transf", *slow(*(head for head in config.HEADS if head != "Transf"))])
def test_windows_equal_encode_video_on_their_frames(head, clip_file, monkeypatch):
    model, joined = predictor(tiny.model_config(head)), []
    original = predict.Predictor.join_frames
    monkeypatch.setattr(predict.Predictor, "join_frames", lambda *given: joined.append(original(*given)) or joined[-1])
    found = timeline.follow(model, clip_file, LABELS, window=1, hop=0.5, batch_size=2, **PLAIN)
    np.testing.assert_allclose(found.times, [[k / 2, k / 2 + 1] for k in range(7)])
    frames = grid_frames(clip_file, 0.25, 16)
    clips = np.stack([frames[2 * k : 2 * k + 4] for k in range(7)])
    expected = model.encode_video(clips)
    np.testing.assert_allclose(joined[0][:7], expected, atol=1e-5)
    classes = model.encode_classes(LABELS, **PLAIN)
    np.testing.assert_allclose(
        found.probabilities, class_scores.class_scores(expected[:, None], classes, model.scaling), atol=1e-4
    )


def test_every_frame_is_encoded_once_whatever_the_hop(model, clip_file, monkeypatch):
    original, seen = predict.Predictor.encode_frames, []

    def encode(self, frames):
        seen.extend(frames[:, 0])
        return original(self, frames)

    monkeypatch.setattr(predict.Predictor, "encode_frames", encode)
    found = timeline.follow(model, clip_file, LABELS, window=1, hop=0.25, batch_size=1, **PLAIN)
    assert len(found.times) == 13
    np.testing.assert_array_equal(seen, grid_frames(clip_file, 0.25, 16))
    # windows shorter than their frames are apart show some frames twice, but these are not encoded twice
    seen.clear()
    timeline.follow(model, clip_file, LABELS, window=0.08, batch_size=25, **PLAIN)
    assert len(seen) == 100


def test_the_last_window_ends_with_the_video(model, clip_file):
    found = timeline.follow(model, clip_file, LABELS, window=1.2, hop=1.1, **PLAIN)  # cells of 0.3 s: hops of 1.2 s
    np.testing.assert_allclose(found.times, [[0, 1.2], [1.2, 2.4], [2.4, 3.6], [2.7, 3.9]])
    assert windows.window_starts(4, 4, 9).tolist() == [0]


def test_how_far_a_video_is_ends_with_all_of_it(model, clip_file):
    shown = []
    with progress.shown_by(lambda task, done, total, comment: shown.append((task, done, total))):
        timeline.follow(model, clip_file, LABELS, window=0.7, **PLAIN)
    assert {task for task, _, _ in shown} == {"clip.mp4 (seconds)"}
    assert shown[-1][1] == shown[-1][2] == pytest.approx(4, abs=0.4)


def test_segments_are_runs_of_one_sure_label():
    best = {"a": (0.7, 0.2, 0.1), "b": (0.1, 0.8, 0.1), "none": (0.4, 0.35, 0.25)}
    rows = np.array([best[name] for name in ("a", "a", "b", "none", "b", "b")])
    rows[1, 0], rows[1, 1] = 0.5, 0.4
    times = np.array([[k, k + 4.0] for k in range(6)])
    found = timeline.Timeline("x.mp4", ("a", "b", "c"), times, rows, 0.5, None)
    np.testing.assert_allclose(found.bounds, [0, 2.5, 3.5, 4.5, 5.5, 6.5, 9])
    parts = [(part.start, part.end, part.label, pytest.approx(part.score)) for part in found.segments]
    assert parts == [(0, 3.5, "a", 0.6), (3.5, 4.5, "b", 0.8), (5.5, 9, "b", 0.8)]
    assert dataclasses.replace(found, threshold=0.81).segments == ()
    assert [part.label for part in dataclasses.replace(found, threshold=0.1).segments] == ["a", "b", "a", "b"]


def test_times_are_told_as_on_a_clock():
    assert (times.clock(75.26), times.clock(3599.99), times.clock(59.6, 0)) == ("1:15.3", "1:00:00.0", "1:00")


@pytest.mark.parametrize("frames", [1, 3, 99, 100])
def test_a_video_no_longer_than_a_window_is_predicted_as_a_whole(frames, model, tmp_path):
    path = videos.write(tmp_path / "short.mp4", frames=frames)
    found = timeline.follow(model, path, LABELS, window=4, **PLAIN)
    np.testing.assert_allclose(found.times, [[0, frames / 25]])
    whole = model.predict(path, LABELS, **PLAIN).probabilities
    np.testing.assert_allclose(found.probabilities, whole[None], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("constant.mp4", {}),
        ("irregular.mkv", {"pts": IRREGULAR}),
        ("turned.mp4", {"rotation": 90}),
        ("reordered.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
    ],
)
@pytest.mark.parametrize("spacing", [0.02, 0.3])
def test_streaming_finds_the_frames_of_a_full_decode_at_regular_times(spacing, name, options, tmp_path):
    path = videos.write(tmp_path / name, frames=60, **options)
    grid = stream.Grid(path, spacing, lambda image: image)
    shown = [videos.read_number(image) for image, cells in grid for _ in range(cells)]
    seconds = np.subtract(options["pts"], options["pts"][0]) / 1000 if "pts" in options else np.arange(60) / 25
    np.testing.assert_array_equal(shown, numbers_shown(seconds, spacing, len(shown)))
    assert grid.length == pytest.approx(seconds[-1] * 60 / 59) and grid.note is None
    assert math.floor(grid.length / spacing + 1e-6) <= len(shown) <= grid.length / spacing + 1.5


class Counted(np.ndarray):
    """A frame whose end can be noticed."""


def test_a_long_video_is_never_held_as_a_whole(model, tmp_path, monkeypatch):
    path, original, alive, most = videos.write(tmp_path / "long.mp4", frames=400), upright.to_upright_rgb, set(), []

    def convert(frame, short_side):
        image = original(frame, short_side).view(Counted)
        alive.add(len(most))
        weakref.finalize(image, alive.discard, len(most))
        most.append(len(alive))
        return image

    monkeypatch.setattr(upright, "to_upright_rgb", convert)
    monkeypatch.setattr(views, "view_transform", lambda sample: lambda image: image[None, :32, :32])
    found = timeline.follow(model, path, LABELS, window=0.16, batch_size=2, **PLAIN)
    assert len(found.times) == 397 and len(most) == 400 and max(most) <= (windows.AHEAD + 2) * 8


def test_a_time_beyond_all_bounds_is_an_error_rather_than_endless_memory(clip_file, monkeypatch):
    monkeypatch.setattr(stream, "LONGEST", 10)
    with pytest.raises(video.VideoError, match="comes after 3 seconds: a damaged time"):
        list(stream.Grid(clip_file, 0.25))


def test_a_bad_file_is_named_and_a_damaged_one_noted(model, clip_file, tmp_path):
    cut = videos.cut(videos.write(tmp_path / "half.mp4", frames=60, mux={"movflags": "faststart"}))
    (tmp_path / "empty.mp4").touch()
    paths = [clip_file, tmp_path / "empty.mp4", videos.write_audio_only(tmp_path / "sound.mp4"), cut]
    good, empty, sound, half = timeline.follow_each(model, paths, LABELS, window=0.4, **PLAIN)
    assert (empty.reason, sound.reason) == ("the file is empty", "has no video stream")
    assert good.note is None and half.note.endswith("of 60 frames decode; those were used")
    assert half.note == model.predict(cut, LABELS, **PLAIN).note
    with pytest.raises(video.VideoError, match="no such file"):
        timeline.follow(model, tmp_path / "gone.mp4", LABELS)


@pytest.mark.parametrize("name", ["shift", "joint"])
def test_models_that_mix_frames_are_refused(name):
    with pytest.raises(ValueError, match=rf"mixes frames \({name}\)"):
        timeline.follow(predictor(tiny.model_config(**{name: True})), "nowhere.mp4", LABELS)


def run_command(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "5"], "--window: only with --timeline"),
        (["--hop", "5", "--threshold", "0.3"], "--hop, --threshold: only with --timeline"),
        (["--timeline", "--views", "3x1"], "--views 3x1: with --timeline"),
        (["--timeline", "--window", "0"], "'0' is not a number above 0"),
        (["--timeline", "--hop", "nan"], "'nan' is not a number above 0"),
        (["--timeline", "--threshold", "-1"], "'-1' is not a number above 0"),
        (["--timeline", "--threshold", "1.5"], "threshold is 1.5: expected a probability"),
        (["--timeline", "--hop", "11"], "hop 11 s is longer than window 10 s"),
    ],
)
def test_options_that_make_no_sense_are_explained(arguments, message, directory, clip_file, capsys):
    try:
        code = run_command("predict", directory, clip_file, "--labels", "a,b", *arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and message in capsys.readouterr().err.replace("\n", " ")


def test_settings_are_checked_in_python_too(model):
    with pytest.raises(ValueError, match=r"window is nan seconds.*hop is 0 seconds.*threshold is nan"):
        timeline.follow(model, "nowhere.mp4", LABELS, window=float("nan"), hop=0, threshold=float("nan"))


def test_the_command_prints_segments_and_writes_json_and_sheet(directory, clip_file, tmp_path, capsys):
    (tmp_path / "empty.mp4").touch()
    out, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    given = ["--labels", ",".join(LABELS), "--timeline", "--window", 1, "--threshold", 0.01, "--json", out]
    assert run_command("predict", directory, clip_file, tmp_path / "empty.mp4", *given, "--sheet", sheet) == 1
    printed = capsys.readouterr()
    assert "1 of 2 videos could not be used" in printed.err and "empty.mp4: the file is empty" in printed.err
    written = json.loads(out.read_text())
    good, bad = written["results"]
    assert (written["window"], written["threshold"], written["frames"]) == (1, 0.01, tiny.FRAMES)
    assert good["windows"][:2] == [[0, 1], [0.25, 1.25]] and "error" in bad
    assert {len(values) for values in good["probabilities"].values()} == {len(good["windows"])}
    np.testing.assert_allclose(np.sum(list(good["probabilities"].values()), axis=0), 1, atol=1e-5)
    first, last = good["segments"][0], good["segments"][-1]
    assert first["start"] == 0 and last["end"] == 4 and set(first) == {"start", "end", "label", "score"}
    lines = printed.out.splitlines()
    assert len(lines) == 1 + len(good["segments"]) and lines[1].split("  ")[1].startswith("0:00.0 - ")
    picture = np.asarray(Image.open(sheet).convert("RGB"))
    assert picture.shape[1] == 1600 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_stopping_keeps_what_is_done(directory, clip_file, tmp_path, monkeypatch, capsys):
    original, opened = stream.Grid._decode, []

    def decode(self):
        opened.append(self.path)
        for number, item in enumerate(original(self)):
            if len(opened) == 2 and number == 3:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(stream.Grid, "_decode", decode)
    other, out = videos.write(tmp_path / "other.mp4", frames=100), tmp_path / "result.json"
    given = ["--labels", "a,b", "--timeline", "--window", 1, "--json", out]
    assert run_command("predict", directory, clip_file, other, *given) == 130
    assert len(json.loads(out.read_text())["results"]) == 1
    assert "stopped after 1 of 2 videos" in capsys.readouterr().err
