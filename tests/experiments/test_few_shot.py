"""A signal ends a protocol that trains with the exit code of `train`, and the same command goes on."""

import json
import signal

import jax
import pytest
from signals import signal_after_the_first_step
from slow import slow

from actionclip_jax import cli, config
from actionclip_jax.cli import train
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.training import loop

TRAINING = """
from actionclip_jax.config import config_file

def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=64, depth=1, heads=1)
    run.model.text.update(width=64, depth=1, heads=1)
    run.model.temporal.update(head="meanP")
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


def test_a_run_that_fails_ends_it_with_the_code_of_train(capsys):
    def fail():
        raise loop.TrainingError("step 3: the loss is not finite")

    assert train.supervise(fail) == 3 and "stopped: step 3: the loss" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "number", "code"), [("few-shot", signal.SIGTERM, 75), *slow(("base-to-novel", signal.SIGINT, 130))]
)
def test_a_signal_ends_it_with_the_code_of_train_and_it_goes_on(protocol, number, code, tmp_path, monkeypatch, capsys):
    devices = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: devices[:1])
    small = config.SampleSetConfig(train_clips=1, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=4)
    sample_set.make_sample_set(tmp_path / "data", small, processes=1)
    (tmp_path / "training.py").write_text(TRAINING.format(data=str(tmp_path / "data")))
    command = ["evaluate", "-", "--protocol", protocol, "--config", str(tmp_path / "training.py")]
    command += ["--out", str(tmp_path / "out"), "--clips-per-class", "1", "--seeds", "1"]
    with signal_after_the_first_step(number):
        assert cli.main(command) == code
    told = capsys.readouterr().err.splitlines()
    assert "stopped after step 1 of 2; the same command goes on from there" in told
    assert not (tmp_path / "out" / "report.json").exists()
    assert cli.main(command) == 0
    assert any(line.startswith("goes on from step 1 ") for line in capsys.readouterr().err.splitlines())
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["seeds"]) == 1
