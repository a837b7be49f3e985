"""`actionclip compile`: what it says of this machine's devices and, where their compiler is installed, of TPUs."""

import dataclasses
import importlib.util
import json
import math
import subprocess

import command
import jax
import pytest

from actionclip_jax import cli, sharding
from actionclip_jax.aot import accelerators, compile, estimate, hlo, sweep, topologies
from actionclip_jax.config import config_file
from actionclip_jax.models import action_clip, flops

CONFIG = """
from actionclip_jax.config import config_file


def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=64, depth=2, heads=2)
    run.model.text.update(width=64, depth=2, heads=2)
    run.model.temporal.update(head="Transf", depth=2, heads=2)
    run.model.update(embed_width=64, frames=2)
    run.data.sample.update(frames=2, size=32)
    run.data.train.path = "not/here"
    run.data.expect.update(clips=1000, classes=10, text_tokens=16)
    run.data.loader.batch_size = 32
    run.compute.dtype = "bfloat16"
    return run
"""


@pytest.fixture
def config_path(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(config_path):
    return config_file.load(str(config_path))


def plan_here(run, **changes):
    changed = {name: dataclasses.replace(getattr(run, name), **values) for name, values in changes.items()}
    return compile.Plan(dataclasses.replace(run, **changed), topologies.describe("here"))


def count_products(run, **changes):
    plan = plan_here(run, **changes)
    with jax.set_mesh(plan.mesh):
        return flops.executed(compile.trace_plan(plan).jaxpr.jaxpr)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The step of the configuration, compiled for the eight devices here."""
    path = tmp_path_factory.mktemp("configs") / "small.py"
    path.write_text(CONFIG)
    return compile.compile_plan(plan_here(config_file.load(str(path))))


def test_executed_products_are_those_of_the_model_and_rise_with_what_is_computed_again(run):
    tokens = run.data.expect.text_tokens
    model = 32 * flops.train_clip(run.model, run.objective, 2, 1.0, tokens)
    kept, again = (count_products(run, compute={"remat": remat}) for remat in ("everything", "nothing"))
    embedding = 32 * 2 * (2 * 4 * 16**2 * 3 * 64)  # of 4 patches a frame: the pixels have no gradient
    similarities = 3 * (2 * 32 * 32 * 64)  # no part of the model
    # the backward pass of attention computes its scores again: of 2 layers for clips, and of 1 for frames and texts,
    # whose last one reads a single token
    pairs = 32 * (2 * 5**2 + tokens**2 + 2 * 2**2)
    scores, sums = 2 * 64 * pairs, 2 * 2 * pairs  # of the softmax, by a column of ones for each of 2 heads
    assert kept == model - embedding + similarities + scores + sums
    assert 1.1 * kept < again < 4 / 3 * kept


def test_products_in_a_shard_map_count_for_all_devices(run):
    plain, tiled = (
        count_products(run, objective={"computation": computation, "block": 8})
        for computation in ("plain", "blockwise")
    )
    assert plain < tiled < 1.05 * plain


def test_gradients_are_added_up_over_all_devices(run, compiled):
    report = estimate.report(compiled)
    sums = [one for one in report["collectives"] if one["kind"] == "all-reduce"]
    sent = sum(one["sent_bytes"] for one in sums)
    params = sum(math.prod(shape) for shape in action_clip.param_shapes(run.model).values())
    assert {one["devices"] for one in sums} == {8}
    # each device sends 2 x 7/8 of every gradient, in float32 or, of weights that are used in bfloat16, in that
    assert 2 * params < sent / (2 * 7 / 8) < 1.05 * 4 * params


def test_sharded_parameters_are_gathered(run, compiled):
    report = estimate.report(compile.compile_plan(plan_here(run, sharding={"fsdp": 4})))
    assert any(one["kind"] == "all-gather" and one["devices"] == 4 for one in report["collectives"])
    assert report["memory"]["arguments"] < compiled.memory["arguments"]


def test_an_optimizer_spread_over_data_keeps_a_part_on_each_device(run, compiled):
    spread = compile.compile_plan(plan_here(run, sharding={"optimizer": "data"}))
    assert spread.memory["arguments"] < compiled.memory["arguments"] / 4  # an eighth, but for the clips
    gathered = [one for one in estimate.report(spread)["collectives"] if one["kind"] == "all-gather"]
    assert gathered and gathered[0]["devices"] == 8


def test_memory_adds_up_and_decides_whether_a_step_fits(compiled):
    assert sum(compiled.memory.values()) == compiled.wanted and compiled.fits
    tight = dataclasses.replace(compiled.plan.topology.accelerator, memory=compiled.wanted - 1)
    topology = dataclasses.replace(compiled.plan.topology, accelerator=tight)
    assert not dataclasses.replace(compiled, plan=dataclasses.replace(compiled.plan, topology=topology)).fits


@pytest.mark.parametrize(
    ("collective", "over", "seconds"),
    [
        (hlo.Collective("all-reduce", 1000, tuple(range(8)), 1), "links", 1750 / 100),
        (hlo.Collective("all-reduce", 1000, tuple(range(16)), 3), "network", 3 * 1875 / 8 / 10),  # eight share the ring
        (hlo.Collective("all-reduce", 1000, (0, 8), 1), "network", 1000 / 10),  # one device of each host
        (hlo.Collective("all-to-all", 1000, tuple(range(16)), 1), "network", 937.5 * 8 / 15 / 10),
        (hlo.Collective("collective-permute", 1000, (7, 8), 1), "network", 1000 / 10),
        (hlo.Collective("all-reduce", 1000, (0, 1), 1, between_slices=True), "network", 1000 / 10),
    ],
)
def test_exchanges_between_hosts_take_the_time_of_the_network(collective, over, seconds):
    slow = dataclasses.replace(accelerators.ACCELERATORS["h200"], link=100.0, network=10.0)
    (found,) = estimate.merge_collectives([collective], slow, [0] * 8 + [1] * 8)
    assert found["over"] == over and found["seconds"] == pytest.approx(seconds)


def test_products_of_float32_take_longer():
    v5e, h200 = accelerators.ACCELERATORS["v5e"], accelerators.ACCELERATORS["h200"]
    assert v5e.peak_in("bfloat16") == 197e12 and v5e.peak_in("float32") == pytest.approx(197e12 / 6)
    assert h200.peak_in("float32") == 67e12


def test_device_hours_are_those_of_the_steps_of_the_run(run, compiled):
    steps = dataclasses.replace(run, optim=dataclasses.replace(run.optim, steps=10))
    topology = dataclasses.replace(compiled.plan.topology, accelerator=accelerators.ACCELERATORS["v5e"])
    report = estimate.report(dataclasses.replace(compiled, plan=compile.Plan(steps, topology)))
    assert report["device_hours"] == pytest.approx(10 * report["seconds"]["step"] * 8 / 3600)


def test_cores_that_feed_a_host_grow_with_rate_frames_and_augmentation(run):
    cores = estimate.describe_input(run.data, 168.0)["cores_per_host"]["prepare --storage jpeg"]
    assert cores == pytest.approx(168 * 2 / 8 / 85)  # 2 frames of a clip, with RandAugment
    augment = dataclasses.replace(run.data.augment, rand_operations=0)
    data = dataclasses.replace(run.data, augment=augment)
    assert estimate.describe_input(data, 168.0)["cores_per_host"]["prepare --storage jpeg"] == pytest.approx(2 / 8)
    assert estimate.describe_input(data, 10.0)["bytes_per_second_and_host"] == 10 * 2 * 32 * 32 * 3


def test_the_command_reports_prints_and_sweeps(config_path, tmp_path, capsys):
    common = ["compile", "--config", str(config_path), "--topology", "here", "--out", str(tmp_path / "out")]
    assert cli.main([*common, "--clips-per-device", "2", "--breakdown"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["batch"] == {"clips": 16, "clips_per_device": 2, "frames": 2} and report["fits"]
    said = capsys.readouterr()
    assert "fits" in said.out
    assert "the compiler of here estimates no cycles: nothing to break down" in said.out + said.err
    kinds = ("arguments", "results", "temporaries", "code")
    assert report["memory"]["wanted"] == sum(report["memory"][kind] for kind in kinds)


def test_a_sweep_finds_the_largest_batch_draws_it_and_goes_on(config_path, tmp_path, monkeypatch, capsys):
    device = accelerators.Accelerator(
        name="pretended", kinds=("cpu",), platform="cpu", memory=1000.0, peak=1e9, link=1e9, network=1e9
    )
    topology = topologies.Topology("here", device, jax.devices(), 1)
    compiled = []

    def compile_plan(plan, schedules):  # saving nothing needs half the memory
        compiled.append(plan)
        each = 20 if plan.run.compute.remat == "nothing" else 40
        memory = {"arguments": 100, "results": 0, "temporaries": each * plan.batch_size // 8, "code": 0}
        program = hlo.Program("ENTRY %main (p: f32[]) -> f32[] {\n  ROOT %p = f32[] parameter(0)\n}")
        return compile.Compiled(plan, 1.0, memory, sum(memory.values()), program, 10**9)

    monkeypatch.setattr(topologies, "describe", lambda name, slices: topology)
    monkeypatch.setattr(compile, "compile_plan", compile_plan)
    out = tmp_path / "out"
    command = ["compile", "--config", str(config_path), "--topology", "here", "--out", str(out), "--sweep"]
    command += ["--remat", "everything", "nothing"]
    assert cli.main(command) == 0
    said = capsys.readouterr().err
    assert "remat everything, fsdp 1, model 1: 16 clips a device fit" in said
    assert "remat nothing, fsdp 1, model 1: 32 clips a device fit" in said
    reports = json.loads((out / "sweep.json").read_text())
    assert len(reports) == len(compiled) and (out / "sweep.png").stat().st_size > 10_000
    assert json.loads((out / "report.json").read_text()) == sweep.best(reports)
    before = len(compiled)
    assert cli.main(command) == 0
    assert len(compiled) == before, "a sweep compiled again what it had"
    device = dataclasses.replace(device, memory=100.0)
    topology = dataclasses.replace(topology, name="smaller", accelerator=device)
    assert cli.main(command) == 2
    assert "not one clip a device fits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "v5e"], "expected v4|v5e"),
        (["--topology", "m1:4"], "expected v4|v5e"),
        (["--topology", "h200:8x0"], "expected v4|v5e"),
        (["--topology", "h200:8x2x2"], "GPUs are given as"),
        (["--topology", "h200:8", "--slices", "2"], "have no slices"),
        (["--topology", "here", "--slices", "2"], "--slices is of TPUs"),
        (["--topology", "here", "--sweep", "--remat", "some"], "expected one of everything"),
        (["--topology", "here", "--remat", "nothing"], "are what --sweep tries"),
        (["--topology", "here", "--sweep", "--clips-per-device", "2"], "leave out --clips-per-device"),
        (["--topology", "here", "--sweep", "--model", "1", "8"], "the model cannot be spread over the devices"),
        (["--topology", "here", "--config.compute.attention=cudnn"], "attention cudnn needs an NVIDIA GPU"),
        (
            ["--topology", "here", "--config.optim.accumulate=32", "--clips-per-device", "1"],
            "8 clips cannot be divided into optim.accumulate = 32 parts",
        ),
        (["--topology", "here", "--config.data.loader.batch_size=12"], "12 clips cannot be spread over 8 devices"),
        (["--topology", "here", "--config.data.expect.clips=0"], "data.expect.clips is 0"),
        (["--topology", "here", "--config.sharding.fsdp=3"], "cannot be divided into fsdp 3"),
    ],
)
def test_mistakes_are_named_before_anything_compiles(config_path, tmp_path, capsys, options, message):
    command = ["compile", "--config", str(config_path), "--out", str(tmp_path / "out"), *options]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err


def test_several_slices_are_divided_along_data():
    class Device:
        platform = device_kind = "cpu"

        def __init__(self, number):
            self.id, self.process_index, self.slice_index = number, number // 4, number // 4

    devices = [Device(number) for number in range(8)]
    slices = [[device.slice_index for device in row.flat] for row in sharding.arrange(devices, (1, 4, 2, 1))[0]]
    assert slices == [[0, 0], [0, 0], [1, 1], [1, 1]]
    whole = sharding.arrange(devices, (1, 1, 8, 1))  # only fsdp can cross the network here
    assert [device.slice_index for device in whole.flat] == [0, 0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="2 slices or hosts cannot be divided"):
        sharding.arrange(devices, (1, 1, 1, 8))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="TPU's compiler, libtpu, is not installed")
def test_a_step_compiles_for_tpus_that_are_not_here(config_path, tmp_path):
    arguments = [
        "compile",
        "--config",
        str(config_path),
        "--topology",
        "v5e:2x2",
        "--clips-per-device",
        "2",
        "--breakdown",
    ]
    done = subprocess.run(
        [*command.COMMAND, *arguments, "--out", str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["topology"]["devices"] == 4 and report["batch"]["clips"] == 8
    assert report["fits"] and report["memory"]["available"] == 15.75 * 2**30
    assert report["seconds"]["compiler"] > report["seconds"]["floor"] > 0
    assert any(one["kind"] == "all-reduce" and one["devices"] == 4 for one in report["collectives"])
    assert report["device_hours"] == pytest.approx(4 * 50 * report["epoch_seconds"] / 3600)
    parts = report["breakdown"]
    assert sum(row["seconds"] for row in parts) == pytest.approx(report["seconds"]["compiler"], rel=1e-12)
    assert 0 < report["seconds"]["scheduled"] < report["seconds"]["compiler"]
    # the products of the compiled program are those that were traced
    assert sum(row["flops"] for row in parts) == pytest.approx(report["flops"]["executed"] / 4, rel=0.01)
    assert {"image", "text", "temporal", "optimizer"} <= {row["part"] for row in parts}
    assert (tmp_path / "breakdown.png").stat().st_size > 10_000
