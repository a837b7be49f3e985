"""Several processes train and evaluate like one."""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

import command
import numpy as np
import pytest
import tiny

from actionclip_jax.checkpoints import model_directory
from actionclip_jax.cli import processes
from actionclip_jax.evaluation import features
from actionclip_jax.training import run_log

SAMPLE = pathlib.Path(__file__).parents[2] / "configs" / "sample.py"
SHORT = f"""
import runpy

def get_config():
    run = runpy.run_path({str(SAMPLE)!r})["get_config"]()
    run.pretrain.epochs = 0.0
    run.optim.steps, run.optim.ema = 6, 0.5
    run.data.loader.batch_size = 16
    run.log_every = 1
    run.eval_every_epochs = 0.0
    run.sharding.fsdp, run.sharding.optimizer = 2, "data"
    for source in (run.data.train, run.data.test, run.data.zero_shot):
        source.path = {{data!r}}
    return run
"""


def finish(started):
    for code, said in command.wait(started, timeout=400):
        assert code == 0, said


def start_two(arguments):
    """The command in two processes of two devices that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    several = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    return [command.start([*arguments, *several, "--process", str(number)], devices=2) for number in range(2)]


@pytest.mark.slow
def test_two_processes_of_two_devices_train_evaluate_save_and_export_like_one_of_four(sample, tmp_path):
    (tmp_path / "short.py").write_text(SHORT.format(data=sample))
    arguments = ["train", "--config", str(tmp_path / "short.py")]
    finish([command.start([*arguments, "--workdir", str(tmp_path / "one")], devices=4)])
    finish(start_two([*arguments, "--workdir", str(tmp_path / "two")]))
    one, two = (run_log.read_rows(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert len(one) == len(two) == 7
    for ours, theirs in zip(two[:6], one[:6], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    assert two[6]["evaluation"] == one[6]["evaluation"]
    ours, theirs = (model_directory.load(tmp_path / name / "model").params for name in ("two", "one"))
    for path, value in theirs.items():
        if not path.endswith("qkv/bias"):  # a key's bias has no gradient but rounding
            np.testing.assert_allclose(ours[path], value, atol=1e-4, err_msg=path)


@pytest.mark.slow
def test_two_processes_evaluate_like_one(sample, tmp_path):
    model = tiny.save_model(tmp_path / "model", tiny.model_config("Transf", logit_bias=True))
    arguments = ["evaluate", model, "--data", sample, "--split", "test"]
    arguments += ["--kind", "sample", "--batch-size", "20", "--workers", "0", "--save-features", "--out"]
    finish([command.start([*arguments, str(tmp_path / "one")], devices=4)])
    finish(start_two([*arguments, str(tmp_path / "two")]))
    one, two = (features.load(tmp_path / name / "features")[1] for name in ("one", "two"))
    np.testing.assert_allclose(two.values, one.values, atol=1e-5)
    (ours,), (theirs,) = (
        json.loads((tmp_path / name / "report.json").read_text())["trials"] for name in ("two", "one")
    )
    # of a few rows a product rounds each by its place among those of its device, and the calibration error is of
    # probabilities
    for part in ("scores", "intervals"):
        values = [report[part].pop("calibration_error") for report in (ours, theirs)]
        assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert ours == theirs and ours["scored"] == 48


# what goes wrong as they come together


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--coordinator", "127.0.0.1:1234", "--processes", "2"], "go together"),
        (
            ["--coordinator", "127.0.0.1:1234", "--processes", "2", "--process", "5"],
            "--process is 5: of 2 (--processes)",
        ),
        (["--coordinator", "127.0.0.1", "--processes", "2", "--process", "0"], "expected HOST:PORT"),
        (["--coordinator", "127.0.0.1:99999", "--processes", "2", "--process", "0"], "a port from 1 to 65535"),
        (["--coordinator", "http://host:80", "--processes", "2", "--process", "0"], "expected HOST:PORT"),
    ],
)
def test_processes_that_cannot_be_are_refused_at_once(options, said):
    parser = argparse.ArgumentParser()
    processes.add_options(parser)
    with pytest.raises(ValueError, match=re.escape(said)):
        processes.join(parser.parse_args(["--distributed", *options]))


SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NODELIST": "localhost"}


@pytest.mark.parametrize("number", ["0", "1"])
def test_a_process_whose_others_never_come_says_whom_it_awaits_and_ends_with_a_line(number):
    code = (
        "import argparse\nfrom actionclip_jax.cli import processes\n"
        "parser = argparse.ArgumentParser()\nprocesses.add_options(parser)\n"
        "processes.join(parser.parse_args(['--distributed', '--wait', '1']))"
    )
    environment = {**os.environ, **SLURM, "SLURM_PROCID": number, "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    awaited, error = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert awaited.startswith("waits at most 1 s (--wait) for the other processes: SLURM_JOB_ID=7, SLURM_NTASKS=2")
    assert error.startswith("error: --distributed: within 1 s not all processes came together (SLURM_JOB_ID=7")


RESTORE = """
import logging, pathlib, sys
number, port, what, *workdirs = sys.argv[1:]
import jax, numpy as np
logging.basicConfig(stream=sys.stdout, format="%(message)s")
jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(number), initialization_timeout=100)
from actionclip_jax import sharding
from actionclip_jax import config
from actionclip_jax.training import run_checkpoints
from jax.sharding import NamedSharding, PartitionSpec

mesh = sharding.make_mesh(fsdp=2)
places = {"whole": sharding.everywhere(mesh), "spread": NamedSharding(mesh, PartitionSpec("fsdp"))}

def make(seed):
    value = np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32)
    return {name: jax.make_array_from_callback((64, 64), place, value.__getitem__) for name, place in places.items()}

with jax.set_mesh(mesh):
    workdir = pathlib.Path(workdirs[int(number)])
    checkpoints = run_checkpoints.RunCheckpoints(workdir, config.CheckpointConfig(), mesh)
    if what == "save":
        for step in (1, 2):
            checkpoints.save(step, make(step), {"step": step})
    else:
        step, state, _ = checkpoints.restore_newest(make(9), lambda description: None)
        for name, value in make(step).items():
            np.testing.assert_array_equal(state[name].addressable_data(0), value.addressable_data(0))
        print("goes on from", step)
    checkpoints.close()
"""


def in_two(what, *workdirs):
    """What two processes say that save or restore, each in its workdir."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RESTORE, str(number), port, what, *map(str, workdirs)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    said = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return said


@pytest.fixture(scope="module")
def saved_by_two(tmp_path_factory):
    """A workdir with checkpoints of steps 1 and 2."""
    workdir = tmp_path_factory.mktemp("two") / "saved"
    in_two("save", workdir, workdir)
    return workdir


def remove_arrays(checkpoint):
    for file in (checkpoint / "state").rglob("d/*"):
        file.unlink()


def flip_a_bit(checkpoint):
    for file in (checkpoint / "state").rglob("d/*"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 8
        file.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [remove_arrays, flip_a_bit, shutil.rmtree])
@pytest.mark.parametrize("who", [0, 1])
def test_damage_that_only_one_host_sees_is_named_and_both_go_on_from_the_checkpoint_before(
    damage, who, saved_by_two, tmp_path
):
    workdirs = [shutil.copytree(saved_by_two, tmp_path / str(number)) for number in range(2)]
    damage(workdirs[who] / "checkpoints" / "2")
    for said in in_two("restore", *workdirs):
        assert f"the checkpoint of step 2 is damaged (process {who} on " in said and "goes on from 1" in said
