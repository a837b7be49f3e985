"""A run that version 0.1.0 began goes on."""

import json
import pathlib
import shutil

import pytest

from actionclip_jax import config
from actionclip_jax.config import config_file
from actionclip_jax.training import loop, run_log

OLD_RUN = pathlib.Path(__file__).parent / "old_run"  # four steps, of which three are done
OLD_MODEL = pathlib.Path(__file__).parents[1] / "checkpoints" / "old_model"
LOSS = 5.39004  # of the fourth step, as that version had it


def test_an_old_run_goes_on_where_it_stopped(sample, tmp_path, told, one_device):
    workdir = tmp_path / "old_run"
    shutil.copytree(OLD_RUN, workdir)
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=4, depth=1, heads=1)
    run.model.text.update(width=4, depth=1, heads=1, vocabulary=514, context=40)
    run.model.temporal.update(head="Conv_1D", depth=1, heads=1, positions=4)
    run.model.update(embed_width=4, frames=2)
    for part, split in (("train", "train"), ("test", "test")):
        run.data[part].update(path=sample, kind="sample", split=split)
    run.data.sample.update(frames=2, size=32)
    run.data.loader.update(batch_size=16, workers=0)
    run.objective.templates = "none"
    run.optim.update(steps=4, lr=1e-3)
    run.update(workdir=str(workdir), init_from=str(OLD_MODEL), log_every=1, eval_every_epochs=0.3)
    run.checkpoint.every_epochs = 0.3
    outcome = loop.train(config.from_dict(config.TrainConfig, run.to_dict()))  # compares a digest of every array
    assert outcome.step == 4 and outcome.model is not None and outcome.clock.starts == 2
    assert f"goes on from step 3 of {workdir}" in told
    (changed,) = [line for line in told if line.startswith("with other settings than before:")]
    changes = {line.partition(":")[0].strip() for line in changed.splitlines()[1:]}
    assert changes == {"data.train.path", "data.test.path", "init_from", "workdir"}
    rows = run_log.read_rows(workdir / "metrics.jsonl")
    before = run_log.read_rows(OLD_RUN / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert json.dumps(rows[: len(before)]) == json.dumps(before)
    assert rows[-2]["loss"] == pytest.approx(LOSS, rel=1e-5)
