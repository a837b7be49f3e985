"""Charts: what stands in them."""

import numpy as np
import pytest
from matplotlib import text

from actionclip_jax.plots import charts, fonts


@pytest.fixture
def drawn(monkeypatch):
    """The pages that would have been written."""
    pages = []
    monkeypatch.setattr(fonts, "save", lambda page, path: pages.append(page))
    return pages


def texts(page):
    return [one.get_text() for one in page.findobj(text.Text)]


def test_equal_learning_rates_are_one_line_with_all_names(drawn):
    rows = [
        {"epoch": step, "loss": 1.0, "learning_rate": 1e-5}
        | {"learning_rate/image": 1e-5 * step, "learning_rate/logit_scale": 1e-5 * step}
        | {"learning_rate/temporal": 1e-4 * step}
        for step in (1, 2, 3)
    ]
    charts.training_curves("x.png", rows, {"step": 1.0})
    chart = drawn[0].axes[2]
    assert [line.get_label() for line in chart.lines] == ["image, logit scale", "temporal"]
    np.testing.assert_allclose(chart.lines[1].get_ydata(), [1e-4, 2e-4, 3e-4])


def test_a_small_confusion_matrix_has_its_counts_and_a_large_one_has_not(drawn):
    targets, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 0])
    charts.confusion_matrix("x.png", ("a", "b", "c"), targets, predicted)
    counts = {one.get_position(): one.get_text() for one in drawn[0].axes[0].texts}
    assert counts == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (0, 2): "1"}, "column, row"
    names = [str(number) for number in range(charts.COUNTED + 1)]
    charts.confusion_matrix("x.png", names, targets, predicted)
    assert not drawn[1].axes[0].texts


def test_classes_stand_with_their_clips_and_those_without_are_counted(drawn):
    charts.class_bars("x.png", ("a", "b", "c"), np.array([0.5, np.nan, 1.0]), "accuracy", np.array([4, 0, 1200]))
    assert [one.get_text() for one in drawn[0].axes[0].get_yticklabels()] == ["c (1,200)", "a (4)"]
    assert drawn[0].axes[0].get_xlabel() == "the line is the mean, 75.0%; 1 of 3 classes have no clips"


@pytest.mark.parametrize(
    ("threshold", "said"), [(0.75, "50.0% answered, 100.0% of these right"), (0.99, "0.0% answered")]
)
def test_selective_accuracy_and_coverage_are_called_so_and_read_off_at_the_threshold(threshold, said, drawn):
    thresholds, coverage = np.array([0.9, 0.8, 0.6, 0.5]), np.array([0.25, 0.5, 0.75, 1.0])
    charts.coverage_curve("x.png", thresholds, coverage, np.array([1.0, 1.0, 2 / 3, 0.5]), threshold)
    said_in_all = texts(drawn[0])
    assert f"threshold {threshold:g}: {said}" in said_in_all
    assert any(one.startswith("selective accuracy") for one in said_in_all)
    assert any(one.startswith("coverage") for one in said_in_all)
