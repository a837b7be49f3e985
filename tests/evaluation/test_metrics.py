"""Scores equal scikit-learn's, or values worked out by hand."""

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import softmax

from actionclip_jax.evaluation import metrics
from actionclip_jax.inference import class_scores


@pytest.fixture
def answers():
    """Probabilities [200, 7] and labels [200], of which class 6 never occurs."""
    rng = np.random.default_rng(0)
    scores = rng.random((200, 7)) ** 3
    return scores / scores.sum(axis=1, keepdims=True), rng.integers(0, 6, 200)


@pytest.mark.parametrize("k", [1, 5])
def test_top_k(answers, k):
    expected = sklearn.metrics.top_k_accuracy_score(answers[1], answers[0], k=k, labels=range(7))
    assert metrics.top_k(*answers, k) == pytest.approx(expected)


def test_class_accuracies_leave_out_classes_without_clips(answers):
    probabilities, labels = answers
    best = probabilities.argmax(axis=1)
    found = metrics.class_accuracies(probabilities, labels)
    np.testing.assert_allclose(found[:6], sklearn.metrics.recall_score(labels, best, labels=range(6), average=None))
    assert np.isnan(found[6])
    expected = sklearn.metrics.recall_score(labels, best, labels=range(6), average="macro")
    assert metrics.nan_mean(found) == pytest.approx(expected)


def test_confused_pairs(answers):
    probabilities, labels = answers
    matrix = sklearn.metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(7))
    np.fill_diagonal(matrix, 0)
    pairs = metrics.confused_pairs(probabilities, labels)
    assert sum(clips for *_, clips in pairs) == matrix.sum() and pairs[0][2] == matrix.max()
    assert all(matrix[true, taken_for] == clips for true, taken_for, clips in pairs)


def test_calibration_error_by_hand():
    # bins of a tenth: two clips of confidence 0.75 and 0.72, one of them right; two of 0.9 and 0.95, both right
    probabilities = np.array([[0.75, 0.25], [0.72, 0.28], [0.1, 0.9], [0.05, 0.95]])
    labels = np.array([0, 1, 1, 1])
    expected = (abs(0.75 + 0.72 - 1) + abs(0.9 - 1) + abs(0.95 - 1)) / 4  # 0.9 belongs to (0.8, 0.9]
    assert metrics.calibration_error(probabilities, labels, bins=10) == pytest.approx(expected)


def test_coverage_curve_by_hand():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    thresholds, coverage, accuracy = metrics.coverage_curve(probabilities, np.array([1, 0, 1]))
    np.testing.assert_allclose(thresholds, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(accuracy, [1, 1, 2 / 3])


def test_mean_average_precision_is_of_the_whole_set_and_of_classes_that_occur():
    rng = np.random.default_rng(1)
    scores, targets = rng.random((60, 5)), (rng.random((60, 5)) < 0.2).astype(np.uint8)
    targets[:, 3] = 0
    kept = [0, 1, 2, 4]
    expected = sklearn.metrics.average_precision_score(targets[:, kept], scores[:, kept], average="macro")
    assert metrics.mean_average_precision(scores, targets) == pytest.approx(expected)
    assert np.isnan(metrics.average_precisions(scores, targets)[3])


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_takes_equal_scores_together(levels):
    rng = np.random.default_rng(levels)
    for count in (1, 2, 50):
        scores = (rng.integers(0, levels, count) / levels).astype(np.float32)
        targets = rng.integers(0, 2, count).astype(np.uint8)
        targets[rng.integers(count)] = 1
        expected = sklearn.metrics.average_precision_score(targets, scores)
        assert metrics.average_precision(scores, targets) == pytest.approx(expected, abs=1e-12)


def test_harmonic_mean_and_deviation():
    assert metrics.harmonic_mean(0.6, 0.3) == pytest.approx(0.4) and metrics.harmonic_mean(0.0, 0.0) == 0.0
    found = metrics.mean_and_deviation([{"top1": 0.5}, {"top1": 0.7}])
    assert found == {"top1": {"mean": pytest.approx(0.6), "deviation": pytest.approx(0.1), "trials": 2}}


CONSTANT = class_scores.Scaling()


def unit(array):
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def encoded():
    """Features of 9 clips in 3 views, and of 4 classes in 2 templates."""
    rng = np.random.default_rng(2)
    return unit(rng.normal(size=(9, 3, 8))), unit(rng.normal(size=(4, 2, 8)))


def test_class_scores_are_means_over_views_and_templates_whatever_the_chunks(encoded, monkeypatch):
    clips, classes = encoded
    expected = np.mean(
        [softmax(100 * clips[:, view] @ classes[:, template].T, axis=-1) for view in range(3) for template in range(2)],
        axis=0,
    )
    np.testing.assert_allclose(class_scores.class_scores(clips, classes, CONSTANT), expected, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(class_scores, "CHUNK", 50)  # two clips at once
    np.testing.assert_allclose(class_scores.class_scores(clips, classes, CONSTANT), expected, rtol=1e-4, atol=1e-6)


def test_class_scores_of_mean_embeddings_and_by_sigmoid(encoded):
    clips, classes = encoded
    mean = unit(classes.mean(axis=1))
    expected = np.mean([softmax(100 * clips[:, view] @ mean.T, axis=-1) for view in range(3)], axis=0)
    found = class_scores.class_scores(clips, classes, CONSTANT, average="embeddings")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    single = class_scores.class_scores(clips[:, :1], classes[:, :1], CONSTANT, kind="sigmoid")
    similarities = clips[:, 0].astype(np.float64) @ classes[:, 0].T
    np.testing.assert_allclose(single, 1 / (1 + np.exp(-100 * similarities)), rtol=1e-3, atol=1e-6)


def test_a_model_with_a_bias_scores_with_its_own_scale_and_all_others_with_100(encoded):
    clips, classes = encoded
    params = {"logit_scale": np.float32(np.log(20)), "logit_bias": np.float32(-3)}
    assert class_scores.scaling_of({"logit_scale": np.float32(3)}) == class_scores.Scaling(100, 0)
    own = class_scores.scaling_of(params)
    assert (own.scale, own.bias) == (pytest.approx(20, rel=1e-6), -3)
    with pytest.raises(ValueError, match="logit_scale is 1000, the logarithm of a scale: expected at most 80"):
        class_scores.scaling_of(params | {"logit_scale": np.float32(1000)})
    similarities = np.einsum("nve,cpe->nvpc", clips, classes).astype(np.float64)
    ranked = class_scores.class_scores(clips, classes, own)
    np.testing.assert_allclose(ranked, softmax(20 * similarities, axis=-1).mean((1, 2)), rtol=1e-4, atol=1e-6)
    absolute = class_scores.class_scores(clips, classes, own, kind="sigmoid")
    by_hand = (1 / (1 + np.exp(3 - 20 * similarities))).mean((1, 2))
    np.testing.assert_allclose(absolute, by_hand, rtol=1e-4, atol=1e-6)
    far = class_scores.class_scores(clips, classes, class_scores.Scaling(1e6, -1e6), kind="sigmoid")
    assert np.isfinite(far).all() and far.max() < 1e-6
