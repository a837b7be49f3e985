"""What comes back from `predict`: short to read, safe to show, ready to keep; and the model it comes from."""

import dataclasses
import html.parser
import io
import json
import pydoc
import re
import sys

import numpy as np
import pytest
import tiny
import videos
from PIL import Image

import actionclip_jax
from actionclip_jax import config, inference
from actionclip_jax.data import video

HOSTILE = ("<script>alert(1)</script>", "a & b", "x" * 80)


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("model") / "model", tiny.model_config("Transf"))


@pytest.fixture(scope="module")
def results(model_directory, tmp_path_factory):
    """One good video and one that is none."""
    place = tmp_path_factory.mktemp("place")
    good, bad = videos.write(place / "<b>clip.mp4", frames=30), place / "bad.mp4"
    bad.write_bytes(b"none")
    model = actionclip_jax.load(model_directory)
    return model.predict([good, bad], HOSTILE, keep_images=True)


class Markup(html.parser.HTMLParser):
    """Which elements there are, whether each is closed, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_html_of_a_prediction_shows_bars_and_frames_and_escapes_every_name(results):
    text = results[0]._repr_html_()
    page = Markup(text)
    assert not page.open and {tag for tag, _ in page.seen} <= set("div strong em table tr td span img".split())
    pictures = [attributes for tag, attributes in page.seen if tag == "img"]
    assert len(pictures) == tiny.FRAMES and pictures[0]["title"] == "frame 3 at 0.1 s"
    assert all(one["src"].startswith("data:image/jpeg;base64,") for one in pictures)
    assert HOSTILE[0] in page.text and "a & b" in page.text and "<b>clip.mp4" in page.text
    assert "x" * 47 + "…" in page.text and "<script" not in text and len(text) < 40_000
    widths = [attributes["style"] for tag, attributes in page.seen if tag == "span"]
    assert len(widths) == 3 and all(re.search(r"width:\d+\.\d%$", style) for style in widths)


def test_the_html_of_several_tells_the_best_names_and_the_errors(results):
    page = Markup(results._repr_html_())
    assert not page.open and "cannot be opened as a video" in page.text and "<b>clip.mp4" in page.text


def test_the_reprs_are_one_short_line(results):
    assert re.fullmatch(
        r"Prediction\('[^']*clip\.mp4': '.*' \d+\.\d%, '.*' \d+\.\d%, '.*' \d+\.\d%\)", repr(results[0])
    )
    assert repr(results) == "Predictions(2 videos, 1 could not be used)"
    many = inference.Prediction("a.mp4", tuple("abcd"), np.full(4, 0.25), np.zeros((1, 1)), np.zeros((1, 1)), "cut")
    assert repr(many) == "Prediction('a.mp4': 'a' 25.0%, 'b' 25.0%, 'c' 25.0% and 1 more; note: cut)"


def test_a_dictionary_of_a_prediction_goes_into_json_and_back(results):
    result = results[0]
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    assert list(result.to_dict()["probabilities"]) == [name for name, _ in result.top()]
    assert result.to_dict()["timestamps"] == [[0.12, 0.4, 0.72, 1.0]]


def test_several_predictions_are_a_sequence_with_separate_errors(results):
    assert len(results) == 2 and list(results) == [results[0], results[1]] and results[-1] is results[1]
    assert results.errors == [results[1]] and isinstance(results[1], video.VideoError)
    assert results.predicted == [results[0]] and isinstance(results[1:], inference.Predictions)


def test_a_table_has_a_row_a_video(results):
    table = results.to_pandas()
    assert list(table.columns) == ["video", "class_name", "probability", "note", "error", *(f"p({n})" for n in HOSTILE)]
    good, bad = table.to_dict("records")
    assert good["class_name"] == results[0].top(1)[0][0] and bad["error"].startswith("cannot be opened")
    assert sum(good[f"p({name})"] for name in HOSTILE) == pytest.approx(1, abs=1e-5)
    assert inference.Predictions([]).to_pandas().empty


def test_without_pandas_the_table_says_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'actionclip-jax\[pandas\]'"):
        results.to_pandas()


def test_a_plot_is_a_figure_that_shows_itself_with_and_without_frames(results, model_directory, tmp_path):
    for result, width in ((results[0], 1600), (dataclasses.replace(results[0], images=None), 800)):
        drawn = result.plot()
        picture = Image.open(io.BytesIO(drawn._repr_png_())).convert("RGB")
        assert picture.width == width and len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20
        drawn.savefig(tmp_path / "figure.png")


def test_images_are_kept_of_a_single_video_unless_told_otherwise(model_directory, video_directory):
    model, file = actionclip_jax.load(model_directory), video_directory / "00.mp4"
    assert model.predict(file, ["a", "b"]).images.shape == (tiny.FRAMES, 32, 32, 3)
    assert model.predict(file, ["a", "b"], keep_images=False).images is None
    assert model.predict([file], ["a", "b"])[0].images is None


def test_a_model_says_what_it_is(model_directory):
    said = repr(actionclip_jax.load(model_directory))
    assert re.fullmatch(
        r"Predictor\(ViT 128x2/8@32, text 128x2, temporal head Transf, 4 frames, [\d,]+ parameters, "
        r"weights [0-9a-f]{12} from 'test'\)",
        said,
    )


def test_a_model_is_closed_by_with(model_directory, video_directory):
    with actionclip_jax.load(model_directory) as model:
        assert len(model.predict(video_directory / "00.mp4", ["a", "b"]).top()) == 2
    assert "closed" in repr(model)
    for use in (lambda: model.predict(video_directory / "00.mp4", ["a", "b"]), lambda: model.encode_text(["a"])):
        with pytest.raises(ValueError, match="the model was closed: load it again"):
            use()
    model.close()


def test_the_help_of_the_package_is_short_and_names_what_to_ask_next():
    text = pydoc.plain(pydoc.render_doc(actionclip_jax))
    assert len(text.splitlines()) <= 40 and 'actionclip_jax.load("sample")' in text
    assert "views: tuple[int, int] | str = (1, 1)" in pydoc.plain(pydoc.render_doc(inference.Predictor.predict))


def test_options_of_the_computation_are_refused_by_name_where_they_mean_nothing(model_directory):
    with pytest.raises(TypeError, match="dtpye"):
        actionclip_jax.load(model_directory, dtpye="bfloat16")
    with pytest.raises(config.ConfigError, match="dtype is 'int8'"):
        actionclip_jax.load(model_directory, dtype="int8")
