"""Sheets: what is drawn, on how many pages, and what they refuse."""

import numpy as np
import pytest
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
