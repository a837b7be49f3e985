"""Numbers in Weights & Biases: the same as in metrics.jsonl, as one run however often it is started."""

import importlib.util
import json
import struct

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from actionclip_jax import config
from actionclip_jax.training import run_log, wandb_run


@pytest.fixture(autouse=True)
def forgotten():
    """What the package read from the environment is read anew by the next test."""
    yield
    wandb.teardown()


def records(file):
    """What a .wandb file holds: a log of LevelDB, in blocks of 32 KiB, whose parts have a head of 7 bytes."""
    data, start, whole = file.read_bytes(), 7, b""
    while start < len(data):
        if 32768 - start % 32768 < 7:  # no room for another head
            start += 32768 - start % 32768
        _, length, kind = struct.unpack("<IHB", data[start : start + 7])
        whole += data[start + 7 : start + 7 + length]
        start += 7 + length
        if kind in (1, 4):  # in one part, or the last of several
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def logged(workdir):
    """The rows that wait in the workdir for `wandb sync`, and the ids of their runs."""
    rows, ids = [], set()
    for file in sorted(workdir.glob("wandb/offline-run-*/run-*.wandb")):
        for record in records(file):
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
    return rows, ids


def test_a_run_without_a_network_keeps_its_numbers_and_goes_on_as_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = config.TrainConfig(wandb="videos", workdir=str(tmp_path))
    for start, steps in ((0, (1, 2)), (1, (2, 3))):  # the second start is from the checkpoint of step 1
        log = run_log.RunLog(tmp_path, run, start, writes=True)
        for step in steps:
            log.write(step, {"loss": 1 / step, "evaluation": {"test": {"top1": step / 4}}})
        log.close()
    rows, ids = logged(tmp_path)
    numbers = [(row["step"], row["loss"], row["evaluation/test/top1"]) for row in rows]
    assert numbers == [(step, 1 / step, step / 4) for step in (1, 2, 2, 3)]
    assert len(ids) == 1


def test_without_the_package_a_run_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else real(name))
    with pytest.raises(ValueError, match=r"wandb = 'videos' needs .* pip install 'actionclip-jax\[wandb\]'"):
        wandb_run.check(config.TrainConfig(wandb="videos"))


def test_without_an_account_a_run_says_how_to_have_one(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match="wandb login"):
        run_log.RunLog(tmp_path, config.TrainConfig(wandb="videos"), 0, writes=True)
