"""Confidence intervals: Wilson's equals the formula, and both kinds hold the truth about as often as they say."""

import numpy as np
import pytest

from actionclip_jax.evaluation import intervals, metrics, scoring

Z = 1.959963984540054


def make_scores(probabilities, targets, labels=None):
    names = tuple(labels or map(str, range(probabilities.shape[1])))
    if targets.ndim == 2:
        values = {"mean_average_precision": metrics.mean_average_precision(probabilities, targets)}
    else:
        values = {name: metrics.top_k(probabilities, targets, k) for name, k in (("top1", 1), ("top5", 5))}
    count = len(targets)
    return scoring.Scores(names, count, count, values, probabilities, targets, np.arange(count))


def draw_answers(rng, count, classes=8, skill=1.5):
    labels = rng.integers(classes, size=count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += skill
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), labels


def draw_labels(rng, count, classes=6):
    targets = (rng.random((count, classes)) < 0.3).astype(np.uint8)
    return rng.normal(size=targets.shape) + targets, targets


@pytest.mark.parametrize(("right", "clips"), [(0, 5), (5, 5), (7, 12), (960, 1000)])
def test_a_share_has_wilsons_interval(right, clips):
    share = right / clips
    middle, width = share + Z**2 / 2 / clips, Z * np.sqrt(share * (1 - share) / clips + Z**2 / 4 / clips**2)
    expected = (middle - width) / (1 + Z**2 / clips), (middle + width) / (1 + Z**2 / clips)
    assert intervals.wilson(right, clips) == pytest.approx(expected)


def test_every_score_and_every_class_has_the_interval_of_its_own_count():
    scores = make_scores(*draw_answers(np.random.default_rng(0), 200))
    found = intervals.measure(scores, 0.5)
    values = scores.all_metrics(0.5)
    assert list(found.scores) == list(values)
    assert all(low <= values[name] <= high for name, (low, high) in found.scores.items())
    answered = round(values["coverage"] * 200)
    assert found.scores["answered_top1"] == intervals.wilson(values["answered_top1"] * answered, answered)
    counts = zip(scores.by_class(), scores.clips_by_class(), strict=True)
    assert found.classes == [intervals.wilson(share * clips, clips) for share, clips in counts]


def test_the_same_clips_have_the_same_intervals_in_whatever_chunks(monkeypatch):
    scores = make_scores(*draw_labels(np.random.default_rng(1), 80))
    found = intervals.measure(scores, None)
    monkeypatch.setattr(intervals, "CHUNK", 1000)
    assert intervals.measure(scores, None) == found


def test_drawing_a_clip_twice_is_having_it_twice():
    rng = np.random.default_rng(2)
    probabilities, targets = draw_labels(rng, 40)
    counts = rng.integers(0, 3, 40)
    rows = np.repeat(np.arange(40), counts)
    for label in range(6):
        counted = metrics.counted_precisions(probabilities[:, label], targets[:, label], counts[None])
        assert counted[0] == pytest.approx(metrics.average_precision(probabilities[rows, label], targets[rows, label]))
    none = metrics.counted_precisions(probabilities[:, 0], np.zeros(40, np.uint8), counts[None])
    assert np.isnan(none).all(), "a class without a clip"
    answers, labels = draw_answers(rng, 40)
    confidence, correct = answers.max(axis=1), answers.argmax(axis=1) == labels
    expected = metrics.calibration_error(answers[rows], labels[rows])
    assert metrics.calibration_gap(confidence, correct, counts) == pytest.approx(expected)
    shares = metrics.shares_by_class(correct, labels, 8, counts)
    np.testing.assert_allclose(shares, metrics.class_accuracies(answers[rows], labels[rows]))


def test_intervals_hold_the_truth_as_often_as_the_report_says(monkeypatch):
    """Of 60 sets of 300 clips; a bootstrap that is not reflected holds ECE and mAP in fewer than half."""
    monkeypatch.setattr(intervals, "DRAWS", 200)
    expected = {"top1": 54, "mean_class_accuracy": 54, "calibration_error": 45, "mean_average_precision": 45}
    rng, held = np.random.default_rng(3), dict.fromkeys(expected, 0)
    for make in (draw_answers, draw_labels):
        truth = make_scores(*make(rng, 100_000)).all_metrics()
        for _ in range(60):
            found = intervals.measure(make_scores(*make(rng, 300)), None).scores
            for name in held.keys() & found.keys():
                held[name] += found[name][0] <= truth[name] <= found[name][1]
    assert all(held[name] >= times for name, times in expected.items()), held


def test_where_draws_all_agree_or_nothing_is_there_no_interval_is_claimed():
    probabilities = np.eye(6)[[0, 1, 2, 0]]
    found = intervals.measure(make_scores(probabilities, np.array([0, 1, 2, 0])), None)
    assert found.scores["mean_class_accuracy"] is None and found.scores["calibration_error"] is None
    assert found.scores["top1"] == intervals.wilson(4, 4) and found.scores["top1"][0] < 0.6
    assert found.classes[3:] == [None, None, None], "classes without clips"
    nothing = scoring.Scores(("a", "b"), 3, 0, {"top1": float("nan")}, np.zeros((0, 2)), np.zeros(0, int), np.zeros(0))
    assert intervals.measure(nothing, None) == intervals.Intervals({"top1": None}, [None, None])


def test_chance_of_average_precision_is_the_share_of_clips_with_the_class():
    rng = np.random.default_rng(4)
    targets = (rng.random((4000, 5)) < (0.05, 0.1, 0.2, 0.3, 0.0)).astype(np.uint8)
    scores = make_scores(rng.random(targets.shape), targets)
    assert scores.by_chance()["mean_average_precision"] == pytest.approx(scores.primary, abs=0.02)
    assert scores.summary()["chance"] == pytest.approx(0.1625, abs=0.02)
    answers, labels = draw_answers(rng, 4000, skill=0.0)
    guesses = make_scores(answers, labels)
    for name, level in guesses.by_chance().items():
        assert guesses.all_metrics()[name] == pytest.approx(level, abs=0.03)
