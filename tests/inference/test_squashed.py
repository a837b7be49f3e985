"""A model whose frames are squashed to a square sees them so whichever way it is used."""

import dataclasses
import json

import numpy as np
import pytest
import tiny
import videos
from PIL import Image

import actionclip_jax
from actionclip_jax import cli, config
from actionclip_jax.checkpoints import digests
from actionclip_jax.data import readers, sampling, table
from actionclip_jax.evaluation import features
from actionclip_jax.experiments import interpolation
from actionclip_jax.experiments.finetuning import planning
from actionclip_jax.inference import live, predict, timeline

LABELS = ("archery", "playing the violin", "surfing")
PLAIN = {"templates": ("{}",)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    image = dataclasses.replace(tiny.model_config().image, resize="squash", filter="bilinear")
    return tiny.save_model(tmp_path_factory.mktemp("squashed") / "model", tiny.model_config(image=image))


@pytest.fixture(scope="module")
def model(directory):
    return actionclip_jax.load(directory)


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """Two seconds, 50 frames, in the folder of its class; of a kind that can be followed while it is written."""
    folder = tmp_path_factory.mktemp("data") / "archery"
    folder.mkdir()
    return videos.write(folder / "clip.mkv", frames=50)


@pytest.fixture
def squashed(clip_file):
    """Frames of the video [T, 32, 32, 3], decoded and resized in the plainest way."""
    images, _, _ = videos.decode_everything(clip_file)

    def squash(numbers):
        plain = [Image.fromarray(np.ascontiguousarray(images[number])) for number in numbers]
        return np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in plain])

    return squash


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_prediction_sees_squashed_frames(model, clip_file, squashed):
    expected = squashed(sampling.segment_middles(50, tiny.FRAMES))
    np.testing.assert_array_equal(model.preprocess(clip_file)[0], expected)
    result = model.predict(clip_file, LABELS, **PLAIN, keep_images=True)
    np.testing.assert_array_equal(result.images, expected)
    scored = model.score(model.encode_video(expected[None]), LABELS, **PLAIN)[0]
    np.testing.assert_allclose(result.probabilities, scored, atol=1e-6)


def test_a_timeline_and_what_follows_a_growing_file_see_squashed_frames(model, clip_file, squashed, monkeypatch):
    seen, original = [], predict.Predictor.encode_frames

    def encode(self, frames):
        seen.append(frames[:, 0])
        return original(self, frames)

    monkeypatch.setattr(predict.Predictor, "encode_frames", encode)
    expected = squashed(np.arange(5, 50, 12))  # on display before the middles of four cells of 0.48 s
    timing = {"window": 1.92, "hop": 0.48, **PLAIN}
    whole = timeline.follow(model, clip_file, LABELS, batch_size=1, **timing)
    np.testing.assert_array_equal(np.concatenate(seen)[:4], expected)
    seen.clear()
    timeline.follow(model, clip_file, LABELS, batch_size=1, window=60, **PLAIN)
    np.testing.assert_array_equal(seen[-1][:4], squashed(sampling.segment_middles(50, tiny.FRAMES)))
    *_, last = live.follow(model, clip_file, LABELS, idle=0.2, **timing)
    np.testing.assert_allclose(last.probabilities, whole.probabilities, atol=1e-6)


def test_an_evaluation_scores_squashed_frames_and_its_records_say_so(directory, model, clip_file, tmp_path):
    data = clip_file.parent.parent
    command = ["evaluate", directory, "--data", str(data), "--templates", "none", "--workers", "0"]
    saved = tmp_path / "out" / "features"
    assert cli.main([*command, "--out", str(saved.parent), "--save-features"]) == 0
    described, found = features.load(saved)
    np.testing.assert_allclose(found.values[0], model.encode_video(model.preprocess(clip_file)), atol=1e-5)
    assert (described["sample"]["resize"], described["sample"]["filter"]) == ("squash", "bilinear")
    assert cli.main([*command, "--out", str(tmp_path / "again"), "--features", str(saved)]) == 0


def test_mteb_gets_embeddings_of_squashed_frames(model, clip_file):
    pytest.importorskip("mteb", reason="mteb is not installed: pip install '.[mteb]'")
    import datasets

    from actionclip_jax.inference import mteb_adapter

    rows = datasets.Dataset.from_dict({"video": [str(clip_file)]}).cast_column("video", datasets.Video(decode=False))
    embedded = mteb_adapter.Encoder(model, "local/tiny").encode_videos(rows, batch_size=1)
    np.testing.assert_allclose(embedded, model.encode_video(model.preprocess(clip_file)), atol=1e-6)


def test_fine_tuning_tests_with_squashed_frames(model):
    sample = config.sample_for(model.config)
    request = config.FinetuneConfig(model="model", data=config.SourceConfig(path="videos"))
    planning.check_choices(request, model.config, sample)  # refuses a sample that is not as the model
    usual = dataclasses.replace(sample, resize="shortest", filter="bicubic")
    with pytest.raises(config.ConfigError) as caught:
        planning.check_choices(request, model.config, usual)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "data.sample.resize is shortest",
        "data.sample.filter is bicubic",
    ]


def test_crops_of_squashed_frames_are_refused_before_anything_is_decoded(directory, model, clip_file, tmp_path, capsys):
    expected = "views_space is 3: expected 1, as squashed frames have no crops"
    for call in (model.predict, lambda *given, **options: model.preprocess(given[0], **options)):
        with pytest.raises(ValueError, match=expected):
            call("nowhere.mp4", LABELS, views=(2, 3))
    assert model.preprocess(clip_file, views=(2, 1)).shape == (2, tiny.FRAMES, 32, 32, 3)
    data, out = clip_file.parent.parent, tmp_path / "out"
    command = ["evaluate", directory, "--data", str(data), "--templates", "none", "--out", str(out), "--workers", "0"]
    for more in ([], ["--interpolate", "0,1", "--from", directory]):
        assert cli.main([*command, "--views", "1x3", *more]) == 2
        assert expected in capsys.readouterr().err
    assert not list(out.rglob("features.json"))


def test_features_know_by_the_digest_how_frames_became_square(model, directory):
    usual = actionclip_jax.load(directory)
    usual.config = dataclasses.replace(usual.config, image=tiny.model_config().image)
    assert usual.digests["weights"] == digests.digest(usual.params)  # of files from before there was a choice
    assert usual.digests["video"] == digests.digest(usual.params, "image", "temporal")
    filtered = actionclip_jax.load(directory)
    image = dataclasses.replace(tiny.model_config().image, filter="bilinear")
    filtered.config = dataclasses.replace(filtered.config, image=image)
    assert len({one.digests["video"] for one in (model, usual, filtered)}) == 3


def test_records_from_before_there_was_a_choice_are_gone_on_with(tmp_path):
    """Neither file said how frames become square: there was one way."""
    clips = table.make_table([table.Clip("a", "a.mp4", (0,))], ("x",), readers.VideoFiles())
    sample = config.to_dict(config.SampleConfig(4, 32))
    made_from = {"video": "digest", "sample": sample}
    old = {name: value for name, value in sample.items() if name not in ("resize", "filter")}
    (tmp_path / "features.json").write_text(json.dumps({"video": "digest", "sample": old, "ids": ["a"]}))
    features.Store(tmp_path, made_from, clips.ids, replace=False)  # which refuses other features
    squashed = {**made_from, "sample": sample | {"resize": "squash"}}
    with pytest.raises(ValueError, match="features of other settings"):
        features.Store(tmp_path, squashed, clips.ids, replace=False)
    (tmp_path / "interpolation.json").write_text(json.dumps({"video": "digest", "sample": old, "scores": {"0.0": {}}}))
    assert interpolation.read_done(tmp_path / "interpolation.json", made_from) == {"0.0": {}}
    assert interpolation.read_done(tmp_path / "interpolation.json", squashed) == {}
