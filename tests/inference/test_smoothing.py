"""From probabilities to segments: medians, labels that hold, and the same segments one by one while windows come."""

import numpy as np
import pytest

from actionclip_jax.inference import smoothing, timeline

NAN = np.nan


def of_one_label(*values):
    return np.array(values, np.float32)[:, None]


def test_a_median_looks_at_an_odd_number_of_windows():
    assert [smoothing.median_windows(seconds, 2.5) for seconds in (0, 4.9, 5, 9.9, 10)] == [1, 1, 3, 3, 5]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, [0.9, 0.1, 0.8, 0.7, 0.2]), (3, [0.9, 0.8, 0.7, 0.7, 0.2]), (5, [0.9, 0.8, 0.7, 0.2, 0.2])],
)
def test_a_running_median_repeats_the_outermost_windows(size, expected):
    smooth = smoothing.running_median(of_one_label(0.9, 0.1, 0.8, 0.7, 0.2), size)
    np.testing.assert_allclose(smooth.ravel(), expected)


def test_windows_that_were_not_scored_cut_a_median():
    smooth = smoothing.running_median(of_one_label(0.9, 0.1, 0.9, NAN, 0.2, 0.7, 0.2), 3)
    np.testing.assert_allclose(smooth.ravel(), [0.9, 0.9, 0.9, NAN, 0.2, 0.2, 0.2])


def make(best, **options):
    """Windows of 2 seconds, one every second, in which label 0 or 1, or none (-), is the best."""
    rows = {"0": (0.8, 0.2), "1": (0.3, 0.7), "-": (0.5, 0.5), "?": (NAN, NAN)}
    probabilities = np.array([rows[one] for one in best], np.float32)
    starts = np.arange(len(best), dtype=np.float64)
    times = np.stack([starts, starts + 2], axis=1)
    return timeline.Timeline("x.mp4", ("a", "b"), times, probabilities, 0.6, None, **options)


@pytest.mark.parametrize(
    ("best", "shortest", "expected"),
    [
        ("0000100000", 0, [("a", 0, 4.5), ("b", 4.5, 5.5), ("a", 5.5, 11)]),
        ("0000100000", 2, [("a", 0, 11)]),  # a holds
        ("0000--0000", 2.1, [("a", 0, 11)]),  # and over a gap
        ("0000--0000", 2, [("a", 0, 4.5), ("a", 6.5, 11)]),  # which lasts
        ("0000110011", 2.5, [("a", 0, 8.5), ("b", 8.5, 11)]),
        ("1000000000", 2, [("a", 1.5, 11)]),  # nothing is current before the first that lasts
        ("0101010101", 2, []),
        ("0000??1111", 0, [("a", 0, 4.5), ("b", 6.5, 11)]),
    ],
)
def test_a_label_holds_until_another_lasts(best, shortest, expected):
    found = [(one.label, one.start, one.end) for one in make(best, min_length=shortest).segments]
    assert found == expected


def test_the_score_of_a_segment_is_of_the_probabilities_as_they_were():
    held = make("0000100000", min_length=2)
    assert held.segments[0].score == pytest.approx((9 * 0.8 + 0.3) / 10)
    assert make("0000100000", median=3).segments[0].score == pytest.approx((9 * 0.8 + 0.3) / 10)
    np.testing.assert_array_equal(make("0100", median=3).probabilities, make("0100").probabilities)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shortest", [0, 1.5, 3])
@pytest.mark.parametrize("seed", range(8))
def test_segments_that_have_ended_are_those_of_the_whole(seed, shortest, size):
    rng = np.random.default_rng(seed)
    best = "".join(str(rng.choice(list("01-?"), p=[0.45, 0.35, 0.15, 0.05])) * rng.integers(1, 4) for _ in range(60))
    whole = make(best, median=size, min_length=shortest)
    running, ended = smoothing.EndedRuns(size, 0.6, shortest), []
    for row, (start, end) in zip(whole.probabilities, whole.times, strict=True):
        ended += [whole.segment(*run) for run in running.add(row, (start + end) / 2)]
    assert len(ended) >= len(whole.segments) - 3 and tuple(ended) == whole.segments[: len(ended)]
