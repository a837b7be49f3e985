"""Protocols that train: what they score, what decides their draws, and how a signal ends them and they go on."""

import dataclasses
import json
import pathlib
import signal

import pytest
import tiny
from signals import signal_after_the_first_step
from slow import slow

from actionclip_jax import cli, config
from actionclip_jax.cli import train
from actionclip_jax.experiments import few_shot
from actionclip_jax.training import loop

TRAINING = """
from actionclip_jax.config import config_file

def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=8, width=128, depth=2, heads=2)
    run.model.text.update(width=128, depth=2, heads=2)
    run.model.temporal.update(head="meanP", depth=2, heads=2, positions=8)
    run.model.update(embed_width=64, frames=2)
    for part, split in (("train", "train"), ("test", "test")):
        run.data[part].update(path={data!r}, kind="sample", split=split)
    run.data.sample.update(frames=2, size=32)
    run.data.loader.update(batch_size=8, workers=0)
    run.objective.templates = "none"
    run.optim.update(steps=2)
    run.log_every = 1
    return run
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random model in a directory."""
    model = dataclasses.replace(tiny.model_config(), frames=2)
    return tiny.save_model(tmp_path_factory.mktemp("models") / "model", model)


@pytest.fixture
def training(sample, tmp_path, one_device):
    """The options of a protocol that trains."""
    file = tmp_path / "training.py"
    file.write_text(TRAINING.format(data=sample))
    return ["--config", str(file), "--out", str(tmp_path / "out"), "--config.optim.lr=1e-3"]


def test_a_run_that_fails_ends_it_with_the_code_of_train(capsys):
    def fail():
        raise loop.TrainingError("step 3: the loss is not finite")

    assert train.supervise(fail) == 3 and "stopped: step 3: the loss" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "number", "code"), [("few-shot", signal.SIGTERM, 75), *slow(("base-to-novel", signal.SIGINT, 130))]
)
def test_a_signal_ends_it_with_the_code_of_train_and_it_goes_on(protocol, number, code, training, tmp_path, capsys):
    command = ["evaluate", "-", "--protocol", protocol, *training, "--clips-per-class", "1", "--seeds", "1"]
    with signal_after_the_first_step(number):
        assert cli.main(command) == code
    told = capsys.readouterr().err.splitlines()
    assert "stopped after step 1 of 2; the same command goes on from there" in told
    assert not (tmp_path / "out" / "report.json").exists()
    assert cli.main(command) == 0
    assert any(line.startswith("goes on from step 1 ") for line in capsys.readouterr().err.splitlines())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    parts = {"few-shot": ["test"], "base-to-novel": ["test, base classes", "test, novel classes"]}[protocol]
    assert len(report["seeds"]) == 1 and [one["name"] for one in report["tested"]] == parts


@pytest.mark.slow
def test_few_shot_trains_for_every_count_and_seed_and_goes_on(model, training, tmp_path, monkeypatch, capsys):
    command = ["evaluate", model, "--protocol", "few-shot", *training, "--seeds", "1", "--clips-per-class"]
    assert cli.main([*command, "1"]) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    (row,) = found["results"]
    assert row["shots"] == 1 and len(row["trials"]) == row["summary"]["top1"]["trials"] == 1
    assert (tmp_path / "out" / "shots.png").is_file() and "few-shot" in capsys.readouterr().out
    assert found["tested"] == [{"name": "test", "clips": 48, "classes": 48, "chance": 1 / 48}]
    assert "| test | 48 | 48 | 2.08% |" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "1_shots_seed_1" / "model").is_dir()
    assert not (tmp_path / "out" / "1_shots_seed_1" / "checkpoints").exists()
    monkeypatch.setattr(few_shot.loop, "train", None)  # all is done
    assert cli.main([*command, "1"]) == 0
    assert cli.main([*command, "1", "--config.optim.lr=1e-4"]) == 2
    assert "finished run with other settings" in capsys.readouterr().err


def test_a_dry_run_of_few_shot_counts_and_trains_nothing(training, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(few_shot.loop, "train", None)
    for protocol in ("few-shot", "base-to-novel"):
        command = ["evaluate", "-", "--protocol", protocol, *training]
        assert cli.main([*command, "--clips-per-class", "1", "--dry-run"]) == 0
        assert "training, 1 clips a class" in " ".join(capsys.readouterr().out.split())
    for dry in ([], ["--dry-run"]):
        assert cli.main([*command, "--clips-per-class", "50", *dry]) == 2
        assert "too few clips for 50 shots" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_seed_decides_everything_random():
    run = few_shot.variant(config.TrainConfig(), pathlib.Path("out"), 5, 8)
    assert (run.seed, run.data.loader.seed, run.data.train.seed, run.data.train.shots) == (5, 5, 5, 8)


@pytest.mark.slow
def test_base_to_novel_tests_on_classes_it_did_not_train(model, training, tmp_path):
    command = ["evaluate", model, "--protocol", "base-to-novel", *training, "--seeds", "3", "--clips-per-class", "1"]
    assert cli.main(command) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    base = (tmp_path / "out" / "base_classes.txt").read_text().splitlines()
    assert len(base) == 48 // 2
    (trial,) = found["trials"]
    harmonic = 2 * trial["base"] * trial["novel"] / max(trial["base"] + trial["novel"], 1e-9)
    assert trial["harmonic mean"] == pytest.approx(harmonic)
    scores = json.loads((tmp_path / "out" / "seed_3" / "scores.json").read_text())
    trained, tested = (scores["config"]["data"][name] for name in ("train", "zero_shot"))
    assert (trained["classes"], trained["shots"], tested["classes"], tested["split"]) == ("base", 1, "novel", "test")
