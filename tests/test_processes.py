"""Several processes train and evaluate like one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import tiny

from actionclip_jax import checkpoint, config, features, run_log, text
from actionclip_jax.data import sample_set

SAMPLE = pathlib.Path(__file__).parents[1] / "configs" / "sample.py"
SHORT = f"""
import runpy

def get_config():
    run = runpy.run_path({str(SAMPLE)!r})["get_config"]()
    run.pretrain.epochs = 0.0
    run.optim.update(steps=6, ema=0.5)
    run.data.loader.update(batch_size=16, workers=0)
    run.log_every = 1
    run.eval_every_epochs = 0.0
    run.sharding.fsdp = 2
    for part in ("train", "test", "zero_shot"):
        run.data[part].path = {{data!r}}
    return run
"""


def start(arguments, devices):
    """The command in a process of its own, with so many devices."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-c", "import sys; from actionclip_jax import cli; sys.exit(cli.main())", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(processes):
    for process in processes:
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said


def start_two(command):
    """The command in two processes of two devices that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    several = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    return [start([*command, *several, "--process", str(number)], 2) for number in range(2)]


@pytest.mark.slow
def test_two_processes_of_two_devices_train_evaluate_save_and_export_like_one_of_four(tmp_path):
    small = config.SampleSetConfig(train_clips=2, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=4)
    sample_set.make_sample_set(tmp_path / "data", small, processes=1)
    (tmp_path / "short.py").write_text(SHORT.format(data=str(tmp_path / "data")))
    command = ["train", "--config", str(tmp_path / "short.py")]
    finish([start([*command, "--workdir", str(tmp_path / "one")], 4)])
    finish(start_two([*command, "--workdir", str(tmp_path / "two")]))
    one, two = (run_log.read_rows(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert len(one) == len(two) == 7
    for ours, theirs in zip(two[:6], one[:6], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    assert two[6]["evaluation"] == one[6]["evaluation"]
    ours, theirs = (checkpoint.load(tmp_path / name / "model").params for name in ("two", "one"))
    for path, value in theirs.items():
        if not path.endswith("qkv/bias"):  # a key's bias has no gradient but rounding
            np.testing.assert_allclose(ours[path], value, atol=1e-4, err_msg=path)


@pytest.mark.slow
def test_two_processes_evaluate_like_one(tmp_path):
    small = config.SampleSetConfig(train_clips=1, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=4)
    sample_set.make_sample_set(tmp_path / "data", small, processes=1)
    model = tiny.model_config("Transf")
    params = tiny.random_params(model)
    checkpoint.save(tmp_path / "model", checkpoint.Weights(model, params, text.default_tokenizer(), {}, {}))
    command = ["evaluate", str(tmp_path / "model"), "--data", str(tmp_path / "data"), "--split", "test"]
    command += ["--kind", "sample", "--batch-size", "20", "--workers", "0", "--save-features", "--out"]
    finish([start([*command, str(tmp_path / "one")], 4)])
    finish(start_two([*command, str(tmp_path / "two")]))
    one, two = (features.load(tmp_path / name / "features")[1] for name in ("one", "two"))
    np.testing.assert_allclose(two.values, one.values, atol=1e-5)
    trials = [json.loads((tmp_path / name / "report.json").read_text())["trials"] for name in ("one", "two")]
    assert trials[0] == trials[1] and trials[0][0]["scored"] == 48
