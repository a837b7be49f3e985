"""The embedded default from beginning to end, with next to no training."""

import dataclasses
import json
import pathlib
import signal

import clip_sets
import numpy as np
import pytest
from signals import signal_after_the_first_step

from actionclip_jax import cli
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.evaluation import scoring
from actionclip_jax.experiments import demo

SAMPLE = pathlib.Path(__file__).parents[2] / "configs" / "sample.py"
SHORT = f"""
import runpy

def get_config():
    run = runpy.run_path({str(SAMPLE)!r})["get_config"]()
    run.pretrain.epochs, run.pretrain.warmup_epochs, run.pretrain.batch_size = 1.0, 0.0, 24
    run.optim.steps = 2
    run.log_every = 1
    run.data.loader.batch_size = 24
    return run
"""


@pytest.mark.slow
def test_the_demo_trains_compares_draws_and_predicts(tmp_path, one_device, capsys):
    small = dataclasses.replace(clip_sets.SAMPLE, train_clips=1)
    sample_set.make_sample_set(tmp_path / "out" / "data", small, processes=1)
    (tmp_path / "short.py").write_text(SHORT)
    arguments = ["demo", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "short.py"), "--seed", "3"]
    with signal_after_the_first_step(signal.SIGTERM):
        assert cli.main(arguments) == 75
    assert "stopped after step 1" in capsys.readouterr().err
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    for words in ("unseen classes", "left or right", "by chance", "moving"):
        assert words in printed.out, words
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["seed"] == 3 and report["zero_shot"]["Transf"]["clips"] == 24
    assert report["zero_shot"]["meanP"]["chance"] == pytest.approx(1 / 24, abs=1e-4)
    pictures = ("curves", "confusion_test", "confusion_zero_shot", "sheet", "pretrain/curves", "meanP/curves")
    for name in pictures:
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5_000, name
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["results"]) == 6


def test_the_words_of_a_prediction_are_scored_one_by_one():
    labels = ("a red square moving left", "a red square moving right", "a blue circle moving left")
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0], [0.2, 0.5, 0.3]])
    scores = scoring.Scores(labels, 3, 3, {"top1": 1 / 3}, probabilities, np.array([0, 1, 0]), np.arange(3))
    found = demo.describe(scores)
    assert found["top1"] == pytest.approx(0.3333) and found["color"] == found["shape"] == 1.0
    assert found["direction"] == found["left_or_right"] == pytest.approx(0.3333)
