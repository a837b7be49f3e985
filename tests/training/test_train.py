"""A whole run: from configuration to model directory, stopped and gone on with, and every way it can fail."""

import dataclasses
import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import messages
import numpy as np
import pytest
import videos
from slow import slow

import actionclip_jax
from actionclip_jax import cli, config, progress, sharding
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.config import config_file
from actionclip_jax.data import readers, table
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.training import (
    loop,
    optim,
    pretraining,
    run_checkpoints,
    run_log,
    setup,
    train_step,
    watchdog,
    workdir,
)

STEPS = 6  # of 16 clips: one epoch of the 96 in the set


@pytest.fixture(autouse=True)
def device(request):
    """One, unless the test is marked."""
    if "many_devices" not in request.keywords:
        request.getfixturevalue("one_device")


@pytest.fixture(scope="session")
def run_maker(sample):
    """A run of a tiny model for some seconds, with `path=value` changes."""

    def make(workdir, *, tests=False, **changes):
        run = config_file.default()
        run.workdir = str(workdir)
        run.model.image.update(size=32, patch=16, width=64, depth=1, heads=1)
        run.model.text.update(width=64, depth=1, heads=1)
        run.model.temporal.update(head="Transf", depth=1, heads=1)
        run.model.update(embed_width=64, frames=2)
        for part, split in (("train", "train"), ("test", "test"), ("zero_shot", "unseen"))[: 3 if tests else 1]:
            run.data[part].update(path=sample, kind="sample", split=split)
        run.data.sample.update(frames=2, size=32)
        run.data.loader.update(batch_size=16, workers=0)
        run.objective.templates = "none"
        run.optim.update(steps=STEPS, lr=1e-3)
        run.log_every = 1
        run.checkpoint.every_epochs = 0.5
        run.eval_every_epochs = 0.0
        run.update_from_flattened_dict(changes)
        return config.from_dict(config.TrainConfig, run.to_dict())

    return make


@pytest.fixture
def make_run(run_maker, tmp_path):
    return lambda name="run", **changes: run_maker(tmp_path / name, **changes)


@dataclasses.dataclass
class Finished:
    run: config.TrainConfig
    outcome: loop.Outcome
    told: list
    shown: list

    @property
    def model(self):
        return self.outcome.model


@pytest.fixture(scope="module")
def finished(run_maker, tmp_path_factory):
    """A run that came to its end undisturbed."""
    run, shown = run_maker(tmp_path_factory.mktemp("finished") / "run", tests=True), []
    with pytest.MonkeyPatch.context() as patch, messages.heard() as told:
        devices = jax.devices()
        patch.setattr(jax, "devices", lambda: devices[:1])
        outcome = train_shown(run, lambda *all: shown.append(all))
    return Finished(run, outcome, told, shown)


class Killed(Exception):
    """As if the process had died."""


def test_the_model_of_a_run_does_not_name_the_places_it_was_made_from(finished):
    model = finished.outcome.model
    place = pathlib.Path(finished.run.workdir).parent
    sample = pathlib.Path(finished.run.data.train.path).parent
    for file in (file for file in model.rglob("*") if file.is_file()):
        content = file.read_bytes()
        assert str(place).encode() not in content and str(sample).encode() not in content, file
    described = json.loads((model / "provenance.json").read_text())["config"]
    assert (described["workdir"], described["data"]["train"]["path"]) == ("run", "set")


def train_shown(run, display):
    """Trains with somebody told of every step."""
    with progress.shown_by(display):
        return loop.train(run)


def kill_after(step):
    def show(task, done, total, line):
        if task == "training" and done == step:
            raise Killed

    return show


def open_checkpoints(run):
    return run_checkpoints.RunCheckpoints(pathlib.Path(run.workdir), run.checkpoint, sharding.make_mesh())


def final_state(run):
    """All arrays of the newest checkpoint, and what was saved beside them."""
    checkpoints = open_checkpoints(run)
    step = checkpoints.steps[-1]
    described = checkpoints.describe(step)
    arrays = checkpoints._checkpointer.load_checkpointables(step)["state"]
    checkpoints.close()
    return step, described, {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(arrays)}


def losses(run):
    return {
        row["step"]: row["loss"]
        for row in run_log.read_rows(pathlib.Path(run.workdir) / "metrics.jsonl")
        if "loss" in row
    }


def test_a_run_leaves_a_model_curves_metrics_and_checkpoints(finished, sample, tmp_path):
    run, outcome, shown = finished.run, finished.outcome, finished.shown
    workdir = pathlib.Path(run.workdir)
    assert (outcome.step, outcome.steps) == (STEPS, STEPS) and outcome.model == workdir / "model"
    assert {name: (scores.clip_count, scores.scored) for name, scores in outcome.scores.items()} == {
        "test": (48, 48),
        "zero_shot": (24, 24),
    }
    assert (workdir / "curves.png").stat().st_size > 10_000
    assert list((workdir / "tensorboard").iterdir()) and not (workdir / "bad_clips_train.jsonl").exists()
    rows = run_log.read_rows(workdir / "metrics.jsonl")
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, STEPS + 1))
    for name in (
        "loss",
        "top1/video_to_text",
        "top1/text_to_video",
        "gradient_norm",
        "param_norm",
        "logit_scale",
        "learning_rate/image",
        "learning_rate/temporal",
        "clips_per_second",
        "model_flop_utilisation",
        "epoch",
    ):
        assert all(np.isfinite(row[name]) for row in steps), name
    assert steps[-1]["learning_rate/temporal"] == pytest.approx(10 * steps[-1]["learning_rate/image"])
    assert rows[-1]["evaluation"]["test"]["top1"] == outcome.scores["test"].metrics["top1"]
    spent = json.loads((workdir / "time.json").read_text())
    assert sum(spent["seconds"].values()) == pytest.approx(spent["last"] - spent["first"], rel=1e-3)
    assert spent["starts"] == 1 and spent["seconds"]["lost"] == spent["seconds"]["down"] == 0
    assert any(task == "evaluating test" and done == 48 for task, done, _, _ in shown)
    # what was written is a model like any other
    weights = model_directory.load(outcome.model)
    assert weights.model == run.model and weights.provenance["steps"] == STEPS
    video = next(pathlib.Path(sample).glob("videos/test/*.mp4"))
    assert len(actionclip_jax.load(outcome.model).predict(video, ["a red square moving left", "surfing"]).top()) == 2
    exported = [str(outcome.model), str(tmp_path / "back"), "--to", "huggingface", "--towers-only"]
    assert cli.main(["convert", *exported]) == 0


def test_a_run_that_was_killed_goes_on_bit_for_bit(make_run, finished, told):
    broken = make_run(tests=True)
    with pytest.raises(Killed):
        train_shown(broken, kill_after(4))
    assert final_state(broken)[0] == 3  # the fourth step is lost
    outcome = loop.train(broken)
    assert outcome.step == STEPS and any("goes on from step 3" in line for line in told)
    step, described, arrays = final_state(broken)
    expected_step, expected, expected_arrays = final_state(finished.run)
    assert step == expected_step == STEPS and described["data"] == expected["data"]
    assert arrays.keys() == expected_arrays.keys()
    for name, value in expected_arrays.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)
    assert losses(broken) == losses(finished.run) and len(losses(broken)) == STEPS
    # and once it is done, the same command does nothing more
    again = loop.train(broken)
    assert again.step == STEPS and final_state(broken)[0] == STEPS
    assert again.scores["test"].metrics == outcome.scores["test"].metrics


@pytest.mark.slow
@pytest.mark.many_devices
def test_a_run_goes_on_with_the_same_batches_on_other_devices(make_run, finished, told):
    broken = make_run(**{"sharding.fsdp": 2})
    with pytest.raises(Killed):
        train_shown(broken, kill_after(4))
    loop.train(dataclasses.replace(broken, sharding=config.ShardingConfig(fsdp=4)))
    assert any("sharding.fsdp: 2 then, 4 now" in line for line in told)
    np.testing.assert_allclose(list(losses(broken).values()), list(losses(finished.run).values()), rtol=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, *slow(signal.SIGINT)], ids=lambda number: number.name)
def test_a_signal_ends_after_the_step_and_the_same_call_goes_on(number, make_run, told):
    run = make_run()

    def show(task, done, total, line):
        if task == "training" and done == 2:
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    try:
        outcome = train_shown(run, show)
        after = signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome.step == 2 and outcome.model is None and final_state(run)[0] == 2
    assert outcome.signal == number and after == (signal.SIG_IGN if number == signal.SIGTERM else before)
    assert told[-1] == f"stopped after step 2 of {STEPS}; the same command goes on from there"
    assert loop.train(run).step == STEPS


@pytest.mark.slow
def test_a_signal_during_an_evaluation_ends_it_and_the_next_start_makes_it_good(make_run, finished, told):
    run = make_run(tests=True, **{"data.eval_batch_size": 1})
    asked = []

    def show(task, done, total, line):
        if task == "evaluating test" and done == 3 and not asked:
            asked.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    outcome = train_shown(run, show)
    rows = run_log.read_rows(pathlib.Path(run.workdir) / "metrics.jsonl")
    assert outcome.step == STEPS and outcome.model is None and not any("evaluation" in row for row in rows)
    assert loop.train(run).scores["test"].metrics == finished.outcome.scores["test"].metrics
    assert f"goes on from step {STEPS} of {run.workdir}" in told


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_gives_the_same_end(make_run, finished, told):
    run = make_run(tests=True)
    loop.train(run)
    workdir = pathlib.Path(run.workdir)
    (workdir / "checkpoints" / str(STEPS) / "_CHECKPOINT_METADATA").write_text("{}")
    loop.train(run)
    assert any(f"the checkpoint of step {STEPS} is damaged" in line for line in told)
    assert (workdir / "damaged_checkpoints" / str(STEPS)).is_dir()
    assert run_state(run) == run_state(finished.run) and losses(run) == losses(finished.run)


def run_state(run):
    """Digests of all arrays of the newest checkpoint."""
    return final_state(run)[1]["arrays"]


def count_live_bytes():
    return sum(array.nbytes for array in jax.live_arrays())


@pytest.mark.slow
def test_the_old_state_is_gone_before_a_checkpoint_is_read(make_run, monkeypatch):
    run = make_run(
        tests=True, **{"checkpoint.export": "best", "checkpoint.every_epochs": 0.17, "eval_every_epochs": 0.17}
    )
    with pytest.raises(Killed):
        train_shown(run, kill_after(3))
    gc.collect()
    alive, before, read = [], count_live_bytes(), run_checkpoints.read_alone

    def measure_and_read(*arguments):
        alive.append(count_live_bytes() - before)
        return read(*arguments)

    monkeypatch.setattr(run_checkpoints, "read_alone", measure_and_read)
    monkeypatch.setattr(run_log, "primary_metrics", lambda rows: {1: 1.0})  # the first is the best, and is exported
    loop.train(run)
    assert len(alive) == 2, "resumed, and the best one restored"
    state = sum(array.nbytes for array in final_state(run)[2].values())
    assert max(alive) < state / 20, (alive, state)


def test_a_table_says_how_every_parameter_is_spread_and_trained(finished):
    lines = (pathlib.Path(finished.run.workdir) / "parameters.txt").read_text().splitlines()
    assert lines[0].split() == ["path", "shape", "dtype", "sharding", "multiplier"]
    row = next(line for line in lines if line.startswith("temporal/blocks/attn/qkv/kernel"))
    assert row.split() == [
        *("temporal/blocks/attn/qkv/kernel", "(1,", "64,", "3,", "1,", "64)", "float32"),
        *("P(None,", "'fsdp',", "None,", "'model',", "None)", "10"),
    ]
    assert "parameters," in lines[-1] and lines[-1] in " ".join(finished.told)


@pytest.fixture
def names_in_compiled_programs():
    """None is taken from a cache, where those of another version may be, without the names."""
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    yield
    jax.config.update("jax_compilation_cache_include_metadata_in_key", False)


@pytest.mark.usefixtures("names_in_compiled_programs")
@pytest.mark.slow
def test_the_steps_asked_for_are_traced_with_the_names_of_the_model_s_parts(make_run, told):
    run = make_run()
    loop.train(run, profile=range(2, 4))
    places = list((pathlib.Path(run.workdir) / "profile").rglob("*.xplane.pb"))
    assert len(places) == 1 and list(places[0].parent.glob("perfetto_trace.json.gz"))
    events = [
        dict(event.stats)
        for plane in jax.profiler.ProfileData.from_file(str(places[0])).planes
        for line in plane.lines
        for event in line.events
        if event.name == "train"
    ]
    assert sorted(event["step_num"] for event in events) == [2, 3]
    content = places[0].read_bytes()
    for scope in (b"image", b"text", b"temporal", b"block", b"attn", b"mlp", b"loss", b"optimizer"):
        assert b"/" + scope + b"/" in content or b"(" + scope + b")" in content, scope
    loop.train(run, profile=range(2, 4))
    assert "--profile 2:4: nothing to trace, as 6 steps are done already" in told


def test_steps_that_a_run_does_not_have_are_not_traced(make_run, monkeypatch, capsys):
    monkeypatch.setattr(train_step, "trace_step", None)
    with pytest.raises(ValueError, match="--profile 6:8: expected START:STOP with 1 <= START < STOP <= 7"):
        loop.train(make_run(), profile=range(6, 8))
    for wrong in ("5", "5:5", "0:3", "a:b"):
        with pytest.raises(SystemExit):
            cli.main(["train", "--config", "run.py", "--profile", wrong])
        assert "is not of the form START:STOP" in capsys.readouterr().err


def test_two_runs_do_not_write_one_workdir(make_run):
    run = make_run()
    with (
        workdir.hold(pathlib.Path(run.workdir)),
        pytest.raises(ValueError, match=r"run: another run is using it; wait for its end, or give another --workdir"),
    ):
        loop.train(run)
    assert not (pathlib.Path(run.workdir) / "checkpoints").exists()


@pytest.mark.slow
def test_time_is_accounted_for_over_restarts(make_run):
    run, begin = make_run(), time.time()
    with pytest.raises(Killed):
        train_shown(run, kill_after(5))  # after the checkpoint of step 3
    time.sleep(1)
    outcome = loop.train(run)
    spent = json.loads((pathlib.Path(run.workdir) / "time.json").read_text())
    assert spent["starts"] == 2 and spent["seconds"]["lost"] > 0 and spent["seconds"]["down"] > 1
    assert spent["last"] - spent["first"] == pytest.approx(time.time() - begin, rel=0.02)
    assert sum(spent["seconds"].values()) == pytest.approx(spent["last"] - spent["first"], rel=1e-3)
    assert 0 < outcome.clock.goodput() < 1


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_names_the_last_good_checkpoint(make_run, monkeypatch):
    run = make_run(**{"checkpoint.every_epochs": 0.17})
    save = run_checkpoints.RunCheckpoints.save

    def fill(checkpoints, step, *rest):
        if step == 4:
            raise run_checkpoints.SaveError("a checkpoint could not be written (No space left on device)")
        save(checkpoints, step, *rest)

    monkeypatch.setattr(run_checkpoints.RunCheckpoints, "save", fill)
    with pytest.raises(loop.TrainingError, match=r"step 4: .*No space left.*; last good checkpoint: .*/checkpoints/3$"):
        loop.train(run)


def test_a_hang_prints_where_and_ends_the_process():
    script = """
import time
from actionclip_jax.training import watchdog

def stand_still():
    time.sleep(60)

with watchdog.Watchdog(0.2) as dog:
    for _ in range(3):
        dog.step()
    stand_still()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1 and "stand_still" in ended.stderr and "most recent call first" in ended.stderr


def test_what_takes_long_in_order_is_no_hang():
    allowed = []
    dog = watchdog.Watchdog(0.05)
    dog._allow = allowed.append
    dog.other()
    for pause in (0.0, 0.02, 0.0):
        time.sleep(pause)
        dog.step()
    assert allowed[0] == 0.5 and allowed[1] == 0.05  # nothing is known of a first step
    assert allowed[2] >= watchdog.FACTOR * 0.02 and allowed[3] == allowed[2]
    watchdog.Watchdog(0).step()  # never


def test_a_dry_run_computes_a_step_and_leaves_nothing(make_run, told):
    run = make_run(**{"pretrain.epochs": 1.0, "pretrain.warmup_epochs": 0.0})
    run = dataclasses.replace(
        run, pretrain=dataclasses.replace(run.pretrain, source=dataclasses.replace(run.data.train, split="stills"))
    )
    loop.train(run, dry_run=True)
    assert not pathlib.Path(run.workdir).exists()
    assert sum("one of" in line and "loss" in line for line in told) == 2  # pre-training, and the run
    assert any("MiB of temporaries" in line for line in told)


@pytest.mark.slow
def test_pre_training_on_stills_comes_first_and_only_once(make_run, told):
    run = make_run(
        **{"pretrain.epochs": 1.0, "pretrain.warmup_epochs": 0.0, "pretrain.batch_size": 24, "optim.steps": 2}
    )
    stills = dataclasses.replace(run.data.train, split="stills")
    run = dataclasses.replace(run, pretrain=dataclasses.replace(run.pretrain, source=stills))
    stopped = train_shown(run, lambda task, done, *_: done == 1 and os.kill(os.getpid(), signal.SIGINT))
    assert stopped.step == 1 < stopped.steps and stopped.model is None
    loop.train(run)
    assert any(line.startswith("goes on from step 1 ") for line in told)
    towers = pathlib.Path(run.workdir) / "pretrain" / "model"
    assert model_directory.load_config(towers).temporal.head == "meanP"
    assert any(line.startswith("initialised at random") and line.endswith("temporal") for line in told)
    provenance = json.loads((pathlib.Path(run.workdir) / "model" / "provenance.json").read_text())
    assert provenance["initial"]["source"] == towers.name  # and not where it was made
    before = (towers / "provenance.json").stat().st_mtime_ns
    loop.train(run)
    assert (towers / "provenance.json").stat().st_mtime_ns == before


def test_a_run_starts_from_a_model_directory_and_says_what_is_new(make_run, finished, told):
    run = make_run(init_from=str(finished.model), **{"optim.steps": 1, "optim.lr": 0.0})
    end = model_directory.load(loop.train(run).model).params  # one step at a learning rate of 0
    for path, value in model_directory.load(finished.model).params.items():
        np.testing.assert_array_equal(end[path], value, err_msg=path)
    other = make_run("other", init_from=str(finished.model), **{"model.temporal.head": "meanP"})
    loop.train(other, dry_run=True)
    assert any("its temporal head Transf is left out" in line for line in told)


def test_a_bias_may_be_new_in_a_run_but_is_not_dropped(make_run, finished, told):
    how = {"objective.loss": "sigmoid", "optim.steps": 1, "optim.lr": 0.0}
    run = make_run(init_from=str(finished.model), **how)
    with pytest.raises(config.ConfigError, match=r"objective\.loss sigmoid .* set model\.logit_bias"):
        loop.train(run)
    outcome = loop.train(make_run(init_from=str(finished.model), **how, **{"model.logit_bias": True}))
    assert f"initialised at random, as {finished.model} has none: logit_bias" in told
    end, start = (model_directory.load(one).params for one in (outcome.model, finished.model))
    assert float(end["logit_bias"]) == -10 and float(end["logit_scale"]) == float(start["logit_scale"])
    rows = run_log.read_rows(outcome.model.parent / "metrics.jsonl")
    assert rows[0]["logit_bias"] == -10 and "learning_rate/logit_bias" in rows[0]
    without = make_run("without", init_from=str(outcome.model))
    with pytest.raises(ValueError, match=r"model\.logit_bias is True there, False in the configuration"):
        loop.train(without)
    softmax = make_run("softmax", init_from=str(outcome.model), **{"model.logit_bias": True})
    loop.train(softmax, dry_run=True)
    assert any("objective.loss exact trains the model and not its logit_bias" in line for line in told)


def test_a_model_that_does_not_fit_is_refused_with_all_differences(make_run, finished):
    other = make_run(init_from=str(finished.model), **{"model.text.depth": 2, "model.temporal.depth": 3})
    with pytest.raises(ValueError) as caught:
        loop.train(other)
    message = str(caught.value)
    assert "model.text.depth is 1 there, 2 in the configuration" in message and "temporal: TemporalConfig(" in message


@pytest.mark.slow
def test_a_workdir_of_another_model_is_refused(make_run):
    loop.train(make_run(**{"optim.steps": 1}))
    with pytest.raises(ValueError, match=r"holds a run of another model:\n  model.text.depth: 1 then, 2 now"):
        loop.train(make_run(**{"model.text.depth": 2}))
    with pytest.raises(ValueError, match="the saved position belongs to other data"):
        loop.train(make_run(**{"data.loader.batch_size": 8}))


def test_a_run_without_a_finite_loss_stops_and_names_the_last_good_checkpoint(make_run):
    run = make_run(
        **{"optim.lr": 1e30, "optim.warmup_epochs": 0.0, "optim.max_skipped": 2, "checkpoint.every_epochs": 0.1}
    )
    with pytest.raises(loop.TrainingError) as caught:
        loop.train(run)
    message = str(caught.value)
    assert "neither loss nor gradient was finite in the last 2 steps" in message
    good = pathlib.Path(message.split("last good checkpoint: ")[1].split(". Lower")[0])
    assert good.is_dir() and good.parent.name == "checkpoints"


@pytest.mark.slow
def test_a_run_that_never_was_finite_has_no_checkpoint_to_name(make_run):
    run = make_run(
        **{"optim.lr": 1e38, "optim.warmup_epochs": 0.0, "optim.max_skipped": 1, "checkpoint.every_epochs": 0.0}
    )
    with pytest.raises(loop.TrainingError, match="there is no checkpoint yet"):
        loop.train(run)


@pytest.mark.slow
def test_the_newest_and_the_best_checkpoints_are_kept_and_the_best_is_exported(make_run):
    run = make_run(
        **{
            "tests": True,
            "checkpoint.every_epochs": 0.17,
            "checkpoint.keep_last": 1,
            "checkpoint.export": "best",
            "eval_every_epochs": 0.17,
            "optim.lr": 1e-2,
        }
    )
    outcome = loop.train(run)
    rows = run_log.read_rows(pathlib.Path(run.workdir) / "metrics.jsonl")
    scores = {row["step"]: row["evaluation"]["test"]["top1"] for row in rows if "evaluation" in row}
    assert len(scores) == STEPS
    best = max(scores.items(), key=lambda item: (item[1], item[0]))[0]
    kept = {int(path.name) for path in (pathlib.Path(run.workdir) / "checkpoints").iterdir()}
    assert kept == {best, STEPS}
    assert outcome.scores["test"].metrics["top1"] == scores[best]


@pytest.mark.slow
def test_exported_weights_are_interpolated_with_the_initial_ones(make_run, finished):
    whole = loop.train(make_run("whole", init_from=str(finished.model))).model
    half = loop.train(make_run("half", init_from=str(finished.model), **{"interpolation.export": 0.5})).model
    start, trained, mixed = (model_directory.load(path).params for path in (finished.model, whole, half))
    for path, value in mixed.items():
        expected = trained[path] if path.startswith("temporal/") else (start[path] + trained[path]) / 2
        np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective.text": "frozen", "objective.computation": "blockwise", "objective.block": 4},
        {"optim.ema": 0.5, "interpolation.export": 0.5},
    ],
    ids=lambda changes: "-".join(changes),
)
@pytest.mark.slow
def test_the_options_work_in_a_run_that_is_killed_and_goes_on(make_run, finished, changes):
    whole, broken = (make_run(name, init_from=str(finished.model), **changes) for name in ("whole", "broken"))
    loop.train(whole)
    with pytest.raises(Killed):
        train_shown(broken, kill_after(4))
    loop.train(broken)
    arrays = final_state(broken)[2]
    for name, value in final_state(whole)[2].items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)
    assert losses(whole) == losses(broken)


@pytest.mark.many_devices
def test_a_batch_that_the_devices_cannot_share_is_refused_before_anything_is_read(make_run):
    with pytest.raises(ValueError, match="12 clips cannot be spread over 8 devices"):
        loop.train(make_run(**{"data.loader.batch_size": 12, "data.train.path": "nowhere"}))
    with pytest.raises(ValueError, match="fsdp 3 x model 1"):
        loop.train(make_run(**{"sharding.fsdp": 3}))
    with pytest.raises(ValueError, match=r"temporal/blocks/attn/qkv/kernel .*: 1 cannot be divided by model = 2"):
        loop.train(make_run(**{"sharding.model": 2}))


def test_one_label_a_clip_does_not_go_with_a_multi_label_loss(make_run):
    with pytest.raises(ValueError, match=r"data.train: a clip has one label"):
        loop.train(make_run(**{"objective.loss": "multi_label"}))


@pytest.mark.parametrize("loss", ["exact", "normalized", "one_positive", "sigmoid"])
def test_a_contrastive_batch_of_one_clip_is_refused(loss, make_run):
    changes = {"objective.loss": loss, "data.loader.batch_size": 1, "model.logit_bias": loss == "sigmoid"}
    with pytest.raises(config.ConfigError, match=r"data\.loader\.batch_size is 1: .* expected at least 2"):
        loop.train(make_run(**changes))


def test_a_batch_of_one_clip_serves_several_labels(make_run):
    run = make_run(**{"objective.loss": "multi_label", "data.loader.batch_size": 1})
    assert config.run_problems(run) == []


def test_pre_training_in_batches_of_one_clip_is_refused(make_run, sample):
    stills = {"pretrain.epochs": 1.0, "pretrain.source.path": sample, "pretrain.batch_size": 1}
    assert [line for line in config.run_problems(make_run(**stills)) if line.startswith("pretrain.batch_size is 1")]


@pytest.mark.parametrize(("loss", "before"), [("exact", "normalized"), ("sigmoid", "sigmoid")])
def test_towers_are_pre_trained_by_a_sigmoid_where_one_trains_them_afterwards(loss, before, make_run, tmp_path):
    run = make_run(**{"objective.loss": loss, "model.logit_bias": loss == "sigmoid"})
    assert pretraining.towers_run(run, tmp_path).objective.loss == before


@pytest.mark.parametrize("loss", ["exact", "one_positive"])
def test_a_training_set_of_one_class_is_refused_before_anything_compiles(loss, make_run, tmp_path, monkeypatch):
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,surfing\nb.mp4,surfing\nc.mp4,surfing\n")
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").touch()
    (tmp_path / "labels.txt").write_text("archery\nsurfing\n")  # that there are others helps no clip
    monkeypatch.setattr(train_step, "trace_step", None)
    source = {"data.train.path": str(tmp_path / "clips.csv"), "data.train.kind": "csv", "data.train.split": ""}
    labels = {"data.train.labels": str(tmp_path / "labels.txt"), "objective.loss": loss}
    with pytest.raises(ValueError, match="3 clips of one class, 'surfing'"):
        loop.train(make_run(**source, **labels))


def test_one_class_teaches_clips_with_several_labels_nothing_either():
    clips = [table.Clip(name, f"{name}.mp4", (0,)) for name in "ab"]
    one, two = (table.make_table(clips, labels, readers.VideoFiles(), multi_label=True) for labels in ("x", "xy"))
    setup.check_classes(two, "multi_label")
    with pytest.raises(ValueError, match="2 clips of one class, 'x'"):
        setup.check_classes(one, "multi_label")


@pytest.mark.slow
def test_batches_of_one_class_are_said_once_and_counted(make_run, sample, tmp_path, told):
    """Two clips of one class and one of another: at most every third batch of two holds both."""
    rows = [(label, path) for path, label in sample_set.read_list(pathlib.Path(sample), "train")]
    first = min(label for label, _ in rows)
    chosen = [row for row in rows if row[0] == first] + [row for row in rows if row[0] != first][:1]
    (tmp_path / "clips.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for label, path in chosen))
    source = {"data.train.path": str(tmp_path / "clips.csv"), "data.train.kind": "csv", "data.train.split": ""}
    run = make_run(**source, **{"data.loader.batch_size": 2, "optim.steps": 12, "data.augment.flip": "never"})
    loop.train(run)
    counts = [row["one_class_batches"] for row in run_log.read_rows(pathlib.Path(run.workdir) / "metrics.jsonl")]
    assert counts == sorted(counts) and 0 < counts[-1] < 12
    assert len([line for line in told if "all clips of a batch were of one class" in line]) == 1


def test_the_command_trains_and_says_what_went_wrong(make_run, tmp_path, sample, capsys):
    run = make_run()
    file = tmp_path / "run.py"
    changes = config_file.flatten(config.to_dict(run))
    file.write_text(
        "from actionclip_jax.config import config_file\n"
        "def get_config():\n"
        "    run = config_file.default()\n"
        f"    run.update_from_flattened_dict({changes!r})\n"
        "    return run\n"
    )
    workdir = tmp_path / "by_command"
    arguments = ["train", "--config", str(file), "--workdir", str(workdir)]
    assert cli.main([*arguments, "--config.optim.steps=2"]) == 0
    assert model_directory.is_model_directory(workdir / "model")
    assert "seconds: start" in capsys.readouterr().err
    assert cli.main([*arguments, "--config.optim.stepps=2", "--config.seed=-1"]) == 2
    told = capsys.readouterr().err
    assert "optim.stepps is unknown: did you mean optim.steps or" in told and "seed is -1" in told
    assert cli.main([*arguments[:-1], str(tmp_path / "new"), "--init-from", "nothing/here.pt"]) == 2
    assert "nothing/here.pt" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["inspect", sample, "--config.seed=1"])


@pytest.mark.slow
def test_clips_that_cannot_be_decoded_are_replaced_and_named(make_run, sample, tmp_path, told):
    import shutil

    directory = tmp_path / "damaged"
    shutil.copytree(sample, directory)
    first = sorted((directory / "videos" / "train").iterdir())[0]
    first.write_bytes(b"no video")
    second = sorted((directory / "videos" / "test").iterdir())[0]
    second.write_bytes(b"")
    third = sorted((directory / "videos" / "test").iterdir())[1]
    videos.cut(videos.write(third, frames=90, mux={"movflags": "faststart"}))
    changes = {f"data.{part}.path": str(directory) for part in ("train", "test", "zero_shot")}
    run = make_run(tests=True, **changes, **{"data.loader.max_bad_fraction": 0.1})
    outcome = loop.train(run)
    workdir = pathlib.Path(make_run().workdir)
    assert first.name in (workdir / "bad_clips_train.jsonl").read_text()
    assert second.name in (workdir / "bad_clips_test.jsonl").read_text()
    assert [line for line in told if line.startswith("test: 1 of 48 videos have notes: ") and third.name in line]
    assert (outcome.scores["test"].clip_count, outcome.scores["test"].scored) == (48, 47)


@pytest.mark.many_devices
def test_initial_weights_do_not_depend_on_the_devices():
    from actionclip_jax.models import action_clip
    from actionclip_jax.training import initial

    model = config.ModelConfig(
        image=config.ImageConfig(size=32, patch=16, width=64, depth=1, heads=2),
        text=config.TextConfig(width=64, depth=1, heads=2),
        embed_width=64,
    )
    drawn = []
    for mesh in (sharding.make_mesh(jax.devices()[:1]), sharding.make_mesh(fsdp=4, model=2)):
        places = sharding.param_shardings(action_clip.param_shapes(model), mesh)
        drawn.append(initial.initial_weights(model, "", 5, places).params)
    for path, value in drawn[0].items():
        np.testing.assert_allclose(value, drawn[1][path], atol=1e-6, err_msg=path)
    assert optim.interpolate({}, drawn[0], 0.5).keys() == drawn[0].keys()
