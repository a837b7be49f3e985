"""Sheets: what is drawn, on how many pages, and what they refuse."""

import numpy as np
import pytest
from matplotlib import figure
from PIL import Image

from actionclip_jax.inference import prediction, timeline
from actionclip_jax.plots import sheets, timelines

LABELS = ("archery", "surfing", "playing the violin")


def make_timeline(best):
    """Windows of four seconds, a second apart, whose best label is one of LABELS."""
    rows = np.full((len(best), len(LABELS)), 0.01)
    rows[np.arange(len(best)), [LABELS.index(name) for name in best]] = 0.98
    times = np.array([[k, k + 4.0] for k in range(len(best))])
    return timeline.Timeline("x.mp4", LABELS, times, rows, 0.5, None)


def make_prediction(images):
    numbers = np.arange(4)[None]
    return prediction.Prediction("x.mp4", LABELS, np.array([0.2, 0.5, 0.3]), numbers, numbers / 25, None, images)


def test_labels_are_ranked_by_how_long_they_last_without_those_never_seen():
    one = make_timeline(["surfing", "archery", "archery", "archery", "surfing", "archery"])
    assert timelines.rank_over_time(one) == ["archery", "surfing"]


def test_thirteen_videos_take_two_pages(tmp_path):
    pages = timelines.timeline_sheets(tmp_path / "sheet.png", [make_timeline(["surfing"] * 5)] * 13, top=2)
    assert [page.name for page in pages] == ["sheet.png", "sheet-2.png"]
    assert all(Image.open(page).width == 1600 for page in pages)


def test_a_prediction_without_images_is_refused(tmp_path):
    drawn = make_prediction(np.zeros((4, 32, 32, 3), np.uint8))
    assert [page.name for page in sheets.prediction_sheets(tmp_path / "sheet.png", [drawn], top=2)] == ["sheet.png"]
    with pytest.raises(ValueError, match=r"x\.mp4: the prediction did not keep the images"):
        sheets.prediction_sheets(tmp_path / "other.png", [make_prediction(None)], top=2)


def test_of_several_views_the_one_that_is_drawn_is_named(tmp_path, monkeypatch):
    rows = []
    monkeypatch.setattr(sheets, "row_sheets", lambda path, drawn: rows.extend(drawn))
    drawn = [make_prediction(np.zeros((4, 32, 32, 3), np.uint8))]
    for views in ((1, 1), (10, 1), (3, 3)):
        sheets.prediction_sheets(tmp_path / "sheet.png", drawn, 2, views)
    assert [row.title for row in rows] == [
        "x.mp4\n0.0 s to 0.1 s",
        "x.mp4\n0.0 s to 0.1 s; shown is clip 1 of 10, the probabilities are the mean of all",
        "x.mp4\n0.0 s to 0.1 s; shown is clip 1 of 3, crop 2 of 3, the probabilities are the mean of all",
    ]


def test_a_strip_of_more_frames_than_it_shows_says_so():
    page = figure.Figure()
    for frames, said in ((8, "x"), (9, "x (8 of 9 frames)")):
        strip = page.subplots()
        sheets.draw_strip(strip, np.zeros((frames, 8, 8, 3), np.uint8), "x")
        assert strip.get_title("left") == said
