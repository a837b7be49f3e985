"""Faults of checkpoints on disk: each is damaged in its own way, and then the run goes on."""

import functools
import json
import pathlib
import shutil
import signal
from collections.abc import Callable

import harness
import tiny
from harness import expect

from actionclip_jax.training import run_checkpoints

Damage = Callable[[pathlib.Path], None]


@functools.cache
def stopped() -> tiny.Run:
    """A run that was stopped after its fourth checkpoint, made once."""
    run = tiny.Run(tiny.config_file().parent, "stopped")
    (process,) = started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(18, started)
        process.send_signal(signal.SIGTERM)
        tiny.wait(started)
    expect(len(run.saved) >= 3, f"only checkpoints {run.saved}")
    return run


def copy_stopped(folder: pathlib.Path) -> tiny.Run:
    """A copy of that run, to be damaged."""
    run = tiny.Run(folder)
    shutil.copytree(stopped().workdir, run.workdir)
    return run


def damage_newest(folder: pathlib.Path, damage: Damage, count: int = 1) -> str:
    """The newest checkpoint is set aside and the one before used; the end is that of the undisturbed run."""
    run = copy_stopped(folder)
    newest, good = run.saved[-count:], run.saved[-count - 1]
    for step in newest:
        damage(run.checkpoint(step))
    said = run.finish()
    told = [line for line in said.splitlines() if "is damaged" in line]
    expect(len(told) == count, f"the damage was not noticed: {said[-500:]}")
    expect(f"goes on from step {good} " in said, f"did not go on from step {good}: {said[-500:]}")
    aside = sorted(path.name for path in (run.workdir / "damaged_checkpoints").iterdir())
    expect(aside == sorted(map(str, newest)), f"set aside: {aside}")
    run.same_end(tiny.undisturbed())
    why = told[0].partition("(")[2].rpartition("): set aside")[0].replace(str(run.workdir), "WORKDIR")
    return f"{why}; {aside} set aside, went on from {good} to the undisturbed run's end"


def damage_all(folder: pathlib.Path) -> str:
    """No checkpoint is whole: nothing is moved, nothing starts from the beginning unasked."""
    run = copy_stopped(folder)
    for step in run.saved:
        flip_a_byte(run.checkpoint(step))
    before = run.saved
    code, said = harness.run(run.arguments)
    expect(code == 2 and "every checkpoint is damaged" in said, f"exit code {code}: {said[-500:]}")
    expect(run.saved == before, "checkpoints were moved")
    return "refused, nothing was moved"


def leave_a_half_written_one(folder: pathlib.Path) -> str:
    """What a kill in the middle of writing leaves: a directory under a temporary name."""
    run = copy_stopped(folder)
    newest = run.saved[-1]
    half = run.workdir / "checkpoints" / "99.orbax-checkpoint-tmp-1"
    shutil.copytree(run.checkpoint(newest), half)
    (half / "_CHECKPOINT_METADATA").unlink()
    said = run.finish()
    expect(f"goes on from step {newest} " in said, said[-500:])
    expect(not half.exists(), "what was half written is still there")
    run.same_end(tiny.undisturbed())
    return f"removed; went on from {newest}"


def fit_another_run(folder: pathlib.Path, settings: list[str], expected: list[str]) -> str:
    """A checkpoint whose arrays are not those of the run."""
    run = copy_stopped(folder)
    before = run.saved
    code, said = harness.run([*run.arguments, *settings])
    missing = [text for text in expected if text not in said]
    expect(code == 2 and not missing, f"exit code {code}, not said: {missing}: {said[-500:]}")
    expect("MiB of temporaries" not in said, "something was compiled first")
    expect(run.saved == before, "checkpoints were moved")
    line = next(line.strip() for line in said.splitlines() if expected[0] in line)
    return f"refused before anything compiled: {line}"


def store_another_dtype(folder: pathlib.Path) -> str:
    """A whole checkpoint in which one array is of another dtype."""
    run = copy_stopped(folder)
    file = run.checkpoint(run.saved[-1]) / "_CHECKPOINT_METADATA"
    content = json.loads(file.read_text())
    described = content["custom_metadata"]["described"]
    described["arrays"]["params/logit_scale"]["dtype"] = "float16"
    content["custom_metadata"] = run_checkpoints.seal(described)
    file.write_text(json.dumps(content))
    code, said = harness.run(run.arguments)
    expect(code == 2 and "params/logit_scale: float16 (), float32 ()" in said, f"exit code {code}: {said[-500:]}")
    return "refused: params/logit_scale: float16 (), float32 ()"


def largest(checkpoint: pathlib.Path) -> pathlib.Path:
    """The file that holds the arrays."""
    return max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_byte(checkpoint: pathlib.Path) -> None:
    """One, in the middle of the arrays."""
    file = largest(checkpoint)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def overwrite(checkpoint: pathlib.Path, content: Callable[[bytes], bytes], name: str = "") -> None:
    """Changes the content of the file with the arrays, or of one by name."""
    file = checkpoint / name if name else largest(checkpoint)
    file.write_bytes(content(file.read_bytes()))


def change_the_description(checkpoint: pathlib.Path) -> None:
    """Another learning rate and data position in valid JSON."""
    file = checkpoint / "_CHECKPOINT_METADATA"
    text = file.read_text()
    changed = text.replace('"position": ', '"position": 1')
    expect(changed != text, "no position in the description")
    file.write_text(changed)


def empty(checkpoint: pathlib.Path) -> None:
    """The directory stays."""
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


DAMAGES: dict[str, Damage] = {
    "one flipped bit in the arrays": flip_a_byte,
    "arrays cut in half": lambda path: overwrite(path, lambda data: data[: len(data) // 2]),
    "arrays all zeros": lambda path: overwrite(path, lambda data: bytes(len(data))),
    "arrays replaced by garbage": lambda path: overwrite(path, lambda data: b"garbage " * (len(data) // 8)),
    "arrays' file empty": lambda path: overwrite(path, lambda data: b""),
    "arrays' file gone": lambda path: largest(path).unlink(),
    "state gone": lambda path: shutil.rmtree(path / "state"),
    "index of the arrays garbage": lambda path: overwrite(path, lambda data: b"{", "state/manifest.ocdbt"),
    "tree of the arrays cut": lambda path: overwrite(path, lambda data: data[:999], "state/_METADATA"),
    "description gone": lambda path: (path / "_CHECKPOINT_METADATA").unlink(),
    "description garbage": lambda path: overwrite(path, lambda data: b"\xff{", "_CHECKPOINT_METADATA"),
    "description changed": change_the_description,
    "empty directory": empty,
}
OTHER_MODEL = ["--config.model.text.depth=2"]
OTHER_ARRAYS = ["--config.optim.ema=0.5"]
FAULTS = [
    *(
        harness.Fault(name, "set aside, the one before used", functools.partial(damage_newest, damage=damage))
        for name, damage in DAMAGES.items()
    ),
    harness.Fault(
        "newest two damaged",
        "both set aside, the one before used",
        functools.partial(damage_newest, damage=flip_a_byte, count=2),
    ),
    harness.Fault("all damaged", "refused, 2", damage_all),
    harness.Fault("half written", "removed, the newest used", leave_a_half_written_one),
    harness.Fault(
        "other shapes",
        "refused before compilation",
        functools.partial(fit_another_run, settings=OTHER_MODEL, expected=["model.text.depth: 1 then, 2 now"]),
    ),
    harness.Fault(
        "other arrays",
        "refused before compilation, all named",
        functools.partial(
            fit_another_run,
            settings=OTHER_ARRAYS,
            expected=["ema/logit_scale: nothing, float32 ()", "ema/image/blocks/attn/qkv/kernel: nothing, float32"],
        ),
    ),
    harness.Fault("other dtype", "refused before compilation", store_another_dtype),
]
