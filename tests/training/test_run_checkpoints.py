"""A checkpoint is what was saved, or it is not used."""

import contextlib
import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import messages
import numpy as np
import pytest
import training_runs

from actionclip_jax import config, sharding
from actionclip_jax.training import agreement, first_state, preservation, run_checkpoints, train_step


@functools.cache
def make_state(mesh, *, seed=0, optimizer="auto", **optim):
    """The state before the first step of a tiny run, with numbers in the moments."""
    spec = training_runs.change(training_runs.make_spec(), "optim", **optim)
    spec = training_runs.change(spec, "sharding", optimizer=optimizer)
    spec = training_runs.change(spec, "model", text=dataclasses.replace(spec.model.text, vocabulary=64))
    params = training_runs.make_params(spec, seed)
    described = first_state.describe(spec, params, (), mesh)
    make = functools.partial(train_step.init_state, spec, initial={})
    state = jax.jit(make, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, described))(params)
    grown = jax.tree.map(lambda x: x + jnp.asarray(0.5, x.dtype) if x.dtype == jnp.float32 else x, state)
    return jax.device_put(grown, jax.tree.map(lambda x: x.sharding, state))


def open_checkpoints(workdir, mesh, **settings):
    return run_checkpoints.RunCheckpoints(workdir, config.CheckpointConfig(**settings), mesh)


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(jax.devices()[:1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory, mesh):
    """A workdir with checkpoints of steps 1 and 2."""
    workdir = tmp_path_factory.mktemp("saved")
    checkpoints = open_checkpoints(workdir, mesh)
    for step in (1, 2):
        checkpoints.save(step, make_state(mesh, seed=step), {"data": {"position": step}})
    checkpoints.close()
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def restore(workdir, mesh, like=None):
    """What the newest checkpoint holds, and what was said."""
    checkpoints = open_checkpoints(workdir, mesh)
    with contextlib.closing(checkpoints), messages.heard() as told:
        return checkpoints.restore_newest(like or make_state(mesh, seed=9), lambda description: None), told


def assert_same(state, other):
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_newest_comes_back_with_what_was_said_of_it(workdir, mesh):
    (step, state, described), told = restore(workdir, mesh)
    assert step == 2 and described["data"] == {"position": 2} and told == []
    assert_same(state, make_state(mesh, seed=2))
    assert restore(workdir / "nothing", mesh) == (None, [])


def test_a_state_comes_back_on_other_devices(workdir, mesh):
    spread = sharding.make_mesh(fsdp=8)
    (step, state, _), told = restore(workdir, spread)
    assert step == 2 and told == []
    assert_same(state, make_state(mesh, seed=2))
    assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(("saved", "restored"), [("data", "parameters"), ("parameters", "data")])
def test_a_state_comes_back_where_the_optimizer_is_spread_otherwise(saved, restored, tmp_path):
    first, second = sharding.make_mesh(fsdp=2), sharding.make_mesh(jax.devices()[:4])
    state = make_state(first, seed=2, optimizer=saved, ema=0.5)
    checkpoints = open_checkpoints(tmp_path, first)
    checkpoints.save(1, state, {})
    checkpoints.close()
    like = make_state(second, seed=9, optimizer=restored, ema=0.5)
    (_, found, _), told = restore(tmp_path, second, like)
    assert told == []
    assert_same(found, state)
    assert jax.tree.map(lambda x: x.sharding, found) == jax.tree.map(lambda x: x.sharding, like)


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_byte_in_any_file_goes_unnoticed_where_it_matters(seed, workdir, mesh):
    rng = np.random.default_rng(seed)
    expected = {step: make_state(mesh, seed=step) for step in (1, 2)}
    newest = workdir / "checkpoints" / "2"
    noticed = 0
    for file in sorted(path for path in newest.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        if not whole:
            continue
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        file.write_bytes(data)
        (step, state, described), told = restore(workdir, mesh)
        assert_same(state, expected[step])
        assert described["data"] == {"position": step}
        if step == 1:
            noticed += 1
            assert told[0].startswith("the checkpoint of step 2 is damaged (")
            shutil.move(workdir / "damaged_checkpoints" / "2", newest)
        file.write_bytes(whole)
    assert noticed >= 2


def test_damaged_ones_are_set_aside_under_names_of_their_own(workdir, mesh):
    newest = workdir / "checkpoints" / "2"
    for number in (1, 2, 3):
        (newest / "_CHECKPOINT_METADATA").write_text("{}")
        (step, *_), told = restore(workdir, mesh)
        assert step == 1 and "its description has changed" in told[0]
        assert len(list((workdir / "damaged_checkpoints").iterdir())) == number
        shutil.copytree(workdir / "checkpoints" / "1", newest)
    assert {path.name for path in (workdir / "damaged_checkpoints").iterdir()} == {"2", "2-2", "2-3"}


def test_if_all_are_damaged_nothing_is_moved(workdir, mesh):
    for step in ("1", "2"):
        shutil.rmtree(workdir / "checkpoints" / step / "state")
    with pytest.raises(ValueError, match=r"every checkpoint is damaged:\n  2: .*\n  1: "):
        restore(workdir, mesh)
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"1", "2"}


def test_arrays_of_another_run_are_listed_before_anything_is_read(workdir, mesh):
    like = make_state(mesh, ema=0.5)
    like = dataclasses.replace(like, params=dict(like.params))
    like.params["logit_scale"] = jax.device_put(jnp.ones((), jnp.bfloat16), sharding.everywhere(mesh))
    like.params["more"] = jax.device_put(jnp.ones(3), sharding.everywhere(mesh))
    wrong = like.params["image/patch/kernel"]
    like.params["image/patch/kernel"] = jax.device_put(jnp.ones((2, 2)), wrong.sharding)
    with pytest.raises(ValueError, match="does not fit this run") as caught:
        restore(workdir, mesh, like)
    message = str(caught.value)
    assert "params/logit_scale: float32 (), bfloat16 ()" in message
    assert "params/more: nothing, float32 (3,)" in message
    assert f"params/image/patch/kernel: float32 {wrong.shape}, float32 (2, 2)" in message
    assert "ema/logit_scale: nothing, float32 ()" in message
    assert not isinstance(caught.value, agreement.DamagedError)


def test_a_description_cannot_be_changed_unnoticed():
    described = {"data": {"position": 3}, "time": {"first": 0.1}, "list": [1, 2]}
    sealed = json.loads(json.dumps(run_checkpoints.seal(described)))
    assert run_checkpoints.unseal(sealed) == described
    sealed["described"]["data"]["position"] = 4
    for damaged in (sealed, None, {}, {"described": []}, 3):
        with pytest.raises(ValueError, match="description has changed"):
            run_checkpoints.unseal(damaged)


def test_the_newest_and_the_best_stay():
    @dataclasses.dataclass
    class Point:
        step: int

    keep = preservation.KeepNewestAndBest(
        config.CheckpointConfig(keep_last=2, keep_best=2), {1: 0.9, 2: 0.5, 3: 0.9, 4: 0.1}
    )
    points = [Point(step) for step in (1, 2, 3, 4, 5, 6)]
    assert keep.should_preserve(points, context=None) == [True, False, True, False, True, True]
    assert preservation.best_first([1, 2, 3], keep.scores) == [3, 1, 2]


def test_a_setting_that_came_later_is_no_change_and_every_other_is():
    run = config.TrainConfig()
    saved = json.loads(json.dumps(dataclasses.asdict(run)))
    del saved["data"]["train"]["depth"]
    assert run_checkpoints.describe_changes(saved, run) == []
    saved["optim"]["lr"], saved["seed"] = 7.0, 3
    changes = run_checkpoints.describe_changes(saved, run)
    assert sorted(line.partition(":")[0] for line in changes) == ["optim.lr", "seed"]
    deeper = dataclasses.replace(run, data=dataclasses.replace(run.data, train=config.SourceConfig(depth=2)))
    assert "data.train.depth: 1 then, 2 now" in run_checkpoints.describe_changes(saved, deeper)
