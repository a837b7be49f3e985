"""Each checkpoint is damaged in its own way, and then the run goes on."""

import json
import shutil

import command
import damages
import pytest

from actionclip_jax.training import run_checkpoints

pytestmark = [pytest.mark.faults, pytest.mark.slow]  # `make test-faults` alone runs them

LIKE_OTHERS = (
    "arrays all zeros",
    "arrays replaced by garbage",
    "arrays' file empty",
    "state gone",
    "tree of the arrays cut",
    "description garbage",
)


@pytest.fixture
def run(new_run, stopped):
    """A copy of the run that was stopped, to be damaged."""
    return new_run().copy_of(stopped)


@pytest.mark.parametrize(
    ("damage", "count"),
    [
        *(
            pytest.param(damage, 1, id=name, marks=[pytest.mark.slow] if name in LIKE_OTHERS else [])
            for name, damage in damages.DAMAGES.items()
        ),
        pytest.param(damages.flip_a_byte, 2, id="newest two damaged"),
    ],
)
def test_the_newest_is_set_aside_and_the_one_before_used(run, undisturbed, happened, damage, count):
    newest, good = run.saved[-count:], run.saved[-count - 1]
    for step in newest:
        damage(run.checkpoint(step))
    said = run.finish()
    told = [line for line in said.splitlines() if "is damaged" in line]
    assert len(told) == count, f"the damage was not noticed: {said[-500:]}"
    assert f"goes on from step {good} " in said, f"did not go on from step {good}: {said[-500:]}"
    aside = sorted(path.name for path in (run.workdir / "damaged_checkpoints").iterdir())
    assert aside == sorted(map(str, newest)), f"set aside: {aside}"
    run.expect_same_end(undisturbed())
    why = told[0].partition("(")[2].rpartition("): set aside")[0].replace(str(run.workdir), "WORKDIR")
    happened(f"{why}; {aside} set aside, went on from {good} to the undisturbed run's end")


def test_all_damaged_is_refused_and_nothing_is_moved(run, happened):
    for step in run.saved:
        damages.flip_a_byte(run.checkpoint(step))
    before = run.saved
    code, said = command.run(run.arguments)
    assert code == 2 and "every checkpoint is damaged" in said, f"exit code {code}: {said[-500:]}"
    assert run.saved == before, "checkpoints were moved"
    happened("refused, nothing was moved")


def test_what_a_kill_left_half_written_is_removed(run, undisturbed, happened):
    newest = run.saved[-1]
    half = run.workdir / "checkpoints" / "99.orbax-checkpoint-tmp-1"
    shutil.copytree(run.checkpoint(newest), half)
    (half / "_CHECKPOINT_METADATA").unlink()
    said = run.finish()
    assert f"goes on from step {newest} " in said, said[-500:]
    assert not half.exists(), "what was half written is still there"
    run.expect_same_end(undisturbed())
    happened(f"removed; went on from {newest}")


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        pytest.param("--config.model.text.depth=2", ["model.text.depth: 1 then, 2 now"], id="other shapes"),
        pytest.param(
            "--config.optim.ema=0.5",
            ["ema/logit_scale: nothing, float32 ()", "ema/image/blocks/attn/qkv/kernel: nothing, float32"],
            id="other arrays",
        ),
    ],
)
def test_another_run_s_is_refused_before_compilation_with_all_that_differs(run, happened, flag, expected):
    before = run.saved
    code, said = command.run([*run.arguments, flag])
    missing = [text for text in expected if text not in said]
    assert code == 2 and not missing, f"exit code {code}, not said: {missing}: {said[-500:]}"
    assert "MiB of temporaries" not in said, "something was compiled first"
    assert run.saved == before, "checkpoints were moved"
    line = next(line.strip() for line in said.splitlines() if expected[0] in line)
    happened(f"refused before anything compiled: {line}")


def test_an_array_of_another_dtype_is_refused(run, happened):
    file = run.checkpoint(run.saved[-1]) / "_CHECKPOINT_METADATA"
    content = json.loads(file.read_text())
    described = content["custom_metadata"]["described"]
    described["arrays"]["params/logit_scale"]["dtype"] = "float16"
    content["custom_metadata"] = run_checkpoints.seal(described)
    file.write_text(json.dumps(content))
    code, said = command.run(run.arguments)
    assert code == 2 and "params/logit_scale: float16 (), float32 ()" in said, f"exit code {code}: {said[-500:]}"
    happened("refused: params/logit_scale: float16 (), float32 ()")
