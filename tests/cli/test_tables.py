"""The table of `predict --csv`."""

import csv

import numpy as np

from actionclip_jax.cli import tables
from actionclip_jax.data import video
from actionclip_jax.inference import timeline

LABELS = ("archery", "surfing, by night")


def test_a_timeline_has_a_row_a_segment_and_a_video_that_cannot_be_used_one_that_says_why():
    times = np.array([[0, 4.0], [1, 5.0], [2, 6.0], [3, 7.0]])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]])
    good = timeline.Timeline("a.mp4", LABELS, times, probabilities, 0.5, "truncated: half of it")
    nothing = timeline.Timeline("b.mp4", LABELS, times, probabilities, 1.0, None)
    written = tables.as_csv([good, nothing, video.VideoError("c.mp4", "the file is empty")], LABELS, segments=True)
    rows = list(csv.DictReader(written.splitlines()))
    assert [row["video"] for row in rows] == ["a.mp4", "a.mp4", "c.mp4"], "b.mp4 has no segment"
    for row, part in zip(rows, good.segments, strict=False):
        assert (float(row["start"]), float(row["end"]), row["class_name"]) == (part.start, part.end, part.label)
        assert float(row["probability"]) == part.score and row["note"] == good.note and not row["error"]
    assert rows[2]["error"] == "the file is empty" and not rows[2]["class_name"]
