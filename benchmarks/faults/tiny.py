"""A training run of seconds: a tiny model on a small sample data set, in processes of its own."""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import harness
import numpy as np

from actionclip_jax import config
from actionclip_jax.checkpoints import model_directory
from actionclip_jax.data.shapes import sample_set
from actionclip_jax.training import run_log

SET = config.SampleSetConfig(train_clips=2, test_clips=1, unseen_clips=1, still_clips=1, size=32, frames=4)
CONFIG = """
from actionclip_jax.config import config_file

def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=64, depth=1, heads=2)
    run.model.text.update(width=64, depth=1, heads=2)
    run.model.temporal.update(head="Transf", depth=1, heads=2)
    run.model.update(embed_width=64, frames=2)
    for part, split in (("train", "train"), ("test", "test")):
        run.data[part].update(path={data!r}, kind="sample", split=split)
    run.data.sample.update(frames=2, size=32)
    run.data.loader.update(batch_size=16, workers=0)
    run.objective.templates = "none"
    run.optim.update(steps=60, lr=1e-3)
    run.log_every = 1
    run.checkpoint.update(every_epochs=0.84, keep_last=3)  # five of six steps
    run.eval_every_epochs = 0.0
    return run
"""


@functools.cache
def config_file() -> pathlib.Path:
    """The configuration beside its data, made once for all faults."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="actionclip-faults-"))
    atexit.register(shutil.rmtree, folder)
    sample_set.make_sample_set(folder / "data", SET, processes=1)
    file = folder / "tiny.py"
    file.write_text(CONFIG.format(data=str(folder / "data")))
    return file


@functools.cache
def undisturbed(**settings: Any) -> "Run":
    """A run that nothing happens to, made once for all faults that are compared with it."""
    run = Run(config_file().parent, f"undisturbed-{len(list(config_file().parent.iterdir()))}", **settings)
    run.finish()
    return run


class Run:
    """One run: its configuration, its workdir, and what was started for it."""

    def __init__(self, folder: pathlib.Path, name: str = "run", **settings: Any) -> None:
        """`settings` change the configuration: `optim__steps=20` for --config.optim.steps=20."""
        self.workdir = folder / name
        self.arguments = ["train", "--config", str(config_file()), "--workdir", str(self.workdir)]
        self.arguments += [f"--config.{path.replace('__', '.')}={value}" for path, value in settings.items()]

    def start(self, processes: int = 1, devices: int = 1, **settings: Any) -> list[subprocess.Popen[str]]:
        """So many processes with so many devices each, which find each other."""
        arguments = self.arguments + [f"--config.{path.replace('__', '.')}={value}" for path, value in settings.items()]
        if processes == 1:
            return [harness.start(arguments, devices=devices)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        several = ["--distributed", "--coordinator", coordinator, "--processes", str(processes), "--process"]
        return [harness.start([*arguments, *several, str(number)], devices=devices) for number in range(processes)]

    def finish(self, processes: int = 1, devices: int = 1, **settings: Any) -> str:
        """Runs to the end; returns what the first process said."""
        started = self.start(processes, devices, **settings)
        ends = wait(started)
        for code, said in ends:
            harness.expect(code == 0, f"exit code {code}: {said[-1500:]}")
        return ends[0][1]

    def wait_for_step(self, step: int, started: Sequence[subprocess.Popen[str]], timeout: float = 120) -> None:
        """Until a run that was started just now has logged that step."""
        begin, end = time.time(), time.monotonic() + timeout
        while self.last_step(begin) < step:
            dead = [process for process in started if process.poll() is not None]
            harness.expect(not dead, f"ended before step {step}: {dead[0].communicate()[0][-1500:] if dead else ''}")
            harness.expect(time.monotonic() < end, f"step {step} was not reached in {timeout:.0f} s")
            time.sleep(0.01)

    def last_step(self, since: float) -> int:
        """The last step logged, 0 if nothing was logged since that time of day."""
        file = self.workdir / "metrics.jsonl"
        if not file.is_file() or file.stat().st_mtime < since:
            return 0
        return max((row["step"] for row in run_log.read_rows(file)), default=0)

    @property
    def saved(self) -> list[int]:
        """Steps of its checkpoints."""
        found = (self.workdir / "checkpoints").glob("*")
        return sorted(int(path.name) for path in found if path.name.isdecimal())

    def checkpoint(self, step: int) -> pathlib.Path:
        """Where a checkpoint is."""
        return self.workdir / "checkpoints" / str(step)

    def losses(self) -> dict[int, float]:
        """By step."""
        rows = run_log.read_rows(self.workdir / "metrics.jsonl")
        return {row["step"]: row["loss"] for row in rows if "loss" in row}

    def time(self) -> dict[str, Any]:
        """The account of its time."""
        return json.loads((self.workdir / "time.json").read_text())

    def state(self) -> dict[str, Any]:
        """Shape, dtype and digest of every array of the newest checkpoint, optimiser and counters included."""
        metadata = json.loads((self.checkpoint(self.saved[-1]) / "_CHECKPOINT_METADATA").read_text())
        return metadata["custom_metadata"]["described"]["arrays"]

    def same_end(self, other: "Run") -> None:
        """Expects the same losses, final state and exported weights as another run, bit for bit."""
        harness.expect(self.losses() == other.losses(), "the losses differ from those of the undisturbed run")
        harness.expect(self.state() == other.state(), "the final state differs from that of the undisturbed run")
        ours, theirs = (model_directory.load(run.workdir / "model").params for run in (self, other))
        same = all(np.array_equal(ours[path], value) for path, value in theirs.items())
        harness.expect(same, "the exported weights differ from those of the undisturbed run")


def wait(started: Sequence[subprocess.Popen[str]], timeout: float = 240) -> list[tuple[int, str]]:
    """Exit codes and outputs; processes that take longer hang."""
    end, ends = time.monotonic() + timeout, []
    for process in started:
        try:
            said, _ = process.communicate(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            for other in started:
                other.kill()
            raise harness.Unexpected(f"hung: no end after {timeout:.0f} s") from None
        ends.append((process.returncode, said))
    return ends


@contextlib.contextmanager
def no_leftovers(started: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
    """Kills what is left in the process groups, whatever happens."""
    try:
        yield
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """Processes started by a process, and by those."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(file.read_text().rpartition(")")[2].split()[1]) == pid:
                found += [int(file.parent.name), *children(int(file.parent.name))]
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
