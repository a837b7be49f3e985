"""Models with a bias: each label's own probability, and what says so wherever it is shown."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tiny
import videos
from PIL import Image

import actionclip_jax
from actionclip_jax import cli, config, inference, text
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.inference import choices, class_scores, live, predict, prediction, timeline
from actionclip_jax.plots import sheets, timelines

LABELS = ("archery", "playing the violin", "surfing")
SCALE, BIAS = 5.0, -0.5


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A model with a bias, whose probabilities are neither 0 nor 1."""
    model = tiny.model_config("Transf", logit_bias=True)
    scaling = {"logit_scale": np.array(np.log(SCALE), np.float32), "logit_bias": np.array(BIAS, np.float32)}
    params = tiny.random_params(model) | scaling
    path = tmp_path_factory.mktemp("absolute") / "model"
    weights = model_directory.Weights(model, params, text.default_tokenizer(), {"source": "test"}, {})
    model_directory.save(path, weights)
    return path


@pytest.fixture(scope="module")
def model(directory):
    return actionclip_jax.load(directory)


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("absolute") / "clip", tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Four seconds."""
    return videos.write(tmp_path_factory.mktemp("absolute") / "clip.ts", frames=100)


@pytest.fixture(scope="module")
def result(model, clip):
    return model.predict(clip, LABELS, absolute=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def by_hand(model, clip, views, kind):
    """Scores [C] as the mean over views and templates, in float64."""
    features = model.encode_video(model.preprocess(clip, views=views)).astype(np.float64)
    logits = SCALE * np.einsum("ve,cpe->vpc", features, model.encode_classes(LABELS, "actionclip")) + BIAS
    odds = np.exp(logits)
    scores = odds / odds.sum(axis=-1, keepdims=True) if kind == "softmax" else odds / (1 + odds)
    return scores.mean(axis=(0, 1))


@pytest.mark.parametrize("views", [(1, 1), (3, 2)])
def test_probabilities_are_the_mean_of_each_label_s_sigmoid_over_views_and_templates(views, model, clip):
    absolute = model.predict(clip, LABELS, views=views, absolute=True)
    np.testing.assert_allclose(absolute.probabilities, by_hand(model, clip, views, "sigmoid"), atol=1e-5)
    assert absolute.absolute and abs(absolute.probabilities.sum() - 1) > 0.05
    ranked = model.predict(clip, LABELS, views=views)
    np.testing.assert_allclose(ranked.probabilities, by_hand(model, clip, views, "softmax"), atol=1e-5)
    assert not ranked.absolute and ranked.remark is None
    features = model.encode_video(model.preprocess(clip, views=views))
    scores = model.score(features, LABELS, absolute=True)
    np.testing.assert_allclose(scores.mean(axis=0), absolute.probabilities, atol=1e-6)


def test_a_label_s_probability_does_not_depend_on_the_others(model, clip, result):
    alone = model.predict(clip, LABELS[:1], absolute=True)
    assert alone.probabilities[0] == pytest.approx(result.probabilities[0], abs=1e-6) and alone.probabilities[0] < 0.9


def test_all_that_shows_a_prediction_says_so(result):
    assert result.remark == class_scores.ABSOLUTE
    many = inference.Predictions([result])
    for shown in (repr(result), result._repr_html_(), many._repr_html_()):
        assert class_scores.ABSOLUTE in shown
    assert result.to_dict()["absolute"] is True
    table = many.to_pandas()
    assert list(table.columns)[:5] == ["video", "class_name", "probability", "absolute", "note"]
    assert table["absolute"].tolist() == [True] and table["class_name"][0] == result.top(1)[0][0]
    assert class_scores.ABSOLUTE in sheets.prediction_row(result, 3, (1, 1)).title
    bars = dataclasses.replace(result, images=None).plot()
    assert class_scores.ABSOLUTE in bars.axes[0].get_title("left")
    ranked = dataclasses.replace(result, absolute=False)
    assert ranked.to_dict()["absolute"] is False and "absolute" not in prediction.table_row(ranked)


def test_the_command_prints_and_writes_that_probabilities_do_not_sum_to_1(directory, clip, result, tmp_path, capsys):
    out, table, sheet = (tmp_path / name for name in ("out.json", "out.csv", "out.png"))
    given = ["--labels", ",".join(LABELS), "--absolute", "--json", out, "--csv", table, "--sheet", sheet]
    assert run("predict", directory, clip, *given) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("clip.ts") and printed[1].strip() == class_scores.ABSOLUTE and len(printed) == 5
    (written,) = json.loads(out.read_text())["results"]
    assert written["absolute"] is True
    expected = dict(zip(LABELS, result.probabilities.tolist(), strict=True))
    assert written["probabilities"] == pytest.approx(expected, abs=2e-6)
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert row["absolute"] == "True" and float(row["p(surfing)"]) == pytest.approx(expected["surfing"], abs=2e-6)
    assert Image.open(sheet).width == 1600


@pytest.mark.parametrize("option", [[], ["--timeline"], ["--timeline", "--follow"]])
def test_a_model_without_a_bias_is_refused_before_anything_is_decoded(option, without, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"none")
    assert run("predict", without, broken, "--labels", "a,b", "--absolute", *option) == 2
    said = capsys.readouterr()
    assert "absolute: this model has no logit_bias" in said.err and "cannot be opened" not in said.out + said.err
    model = actionclip_jax.load(without)
    for ask in (model.predict, model.predict_each):
        with pytest.raises(ValueError, match="has no logit_bias"):
            list(ask(["nowhere.mp4"], LABELS, absolute=True))
    with pytest.raises(ValueError, match="has no logit_bias"):
        model.score(np.eye(1, 64), LABELS, absolute=True)


def test_timelines_have_the_absolute_probabilities_of_their_windows_and_say_so(model, clip, monkeypatch):
    whole = timeline.follow(model, clip, LABELS, window=4, absolute=True)
    assert whole.absolute and whole.remark == class_scores.ABSOLUTE
    np.testing.assert_allclose(
        whole.probabilities, [model.predict(clip, LABELS, absolute=True).probabilities], atol=1e-5
    )
    several = timeline.follow(model, clip, LABELS, window=1, absolute=True)
    *_, followed = live.follow(model, clip, LABELS, window=1, absolute=True, idle=0.2)
    np.testing.assert_allclose(followed.probabilities, several.probabilities, atol=1e-5)
    assert followed.absolute and not timeline.follow(model, clip, LABELS, window=1).absolute
    titles = []
    monkeypatch.setattr(timelines.axes.Axes, "set_title", lambda self, title, **how: titles.append(title))
    timelines.draw_probabilities(timelines.figure.Figure().subplots(), several, {})
    assert titles == [f"{clip}\n{class_scores.ABSOLUTE}"]


@pytest.mark.parametrize("follow", [[], ["--follow", "--idle", "0.2"]])
def test_the_command_says_so_of_timelines_too(follow, directory, clip, tmp_path, capsys):
    out, table, lines = (tmp_path / name for name in ("out.json", "out.csv", "lines"))
    given = ["--labels", ",".join(LABELS), "--absolute", "--timeline", "--window", 1, "--threshold", 0.1, *follow]
    written = ["--json", out, "--csv", table, *(["--json-lines", lines] if follow else [])]
    assert run("predict", directory, clip, *given, *written) == 0
    assert capsys.readouterr().out.splitlines()[1].strip() == class_scores.ABSOLUTE
    assert json.loads(out.read_text())["results"][0]["absolute"] is True
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert rows and all(row["absolute"] == "True" and not row["error"] for row in rows)
    for line in lines.read_text().splitlines() if follow else ():
        assert json.loads(line)["absolute"] is True


def test_a_bias_that_was_not_trained_last_is_noted(model, caplog):
    weights = model_directory.Weights(model.config, model.params, model.tokenizer, {}, {})
    for loss, noted in (("exact", True), ("sigmoid", False)):
        run_before = {"source": "training", "config": {"objective": {"loss": loss}}}
        trained = predict.Predictor(dataclasses.replace(weights, provenance=run_before), config.ComputeConfig())
        caplog.clear()
        assert choices.checked_kind(trained, True) == "sigmoid"
        assert ("objective.loss exact trained this model and not its logit_bias" in caplog.text) == noted
