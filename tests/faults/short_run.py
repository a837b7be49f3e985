"""A training run of seconds: a tiny model on a small sample data set, in processes of its own."""

import json
import shutil
import socket
import time

import command
import numpy as np

from actionclip_jax.checkpoints import model_directory
from actionclip_jax.training import run_log

CONFIG = """
from actionclip_jax.config import config_file

def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=64, depth=1, heads=2)
    run.model.text.update(width=64, depth=1, heads=2)
    run.model.temporal.update(head="Transf", depth=1, heads=2)
    run.model.update(embed_width=64, frames=2)
    for part in ("train", "test"):
        run.data[part].update(path={data!r}, kind="sample", split=part)
    run.data.sample.update(frames=2, size=32)
    run.data.loader.update(batch_size=16, workers=0)
    run.objective.templates = "none"
    run.optim.update(steps=60, lr=1e-3)
    run.log_every = 1
    run.checkpoint.update(every_epochs=0.84, keep_last=3)  # five of six steps
    run.eval_every_epochs = 0.0
    return run
"""


def write_config(folder, data):
    """The configuration of a run on that data."""
    file = folder / "config.py"
    file.write_text(CONFIG.format(data=data))
    return file


def flags(changes):
    """`optim__steps=20` is --config.optim.steps=20."""
    return [f"--config.{path.replace('__', '.')}={value}" for path, value in changes.items()]


class Run:
    """One run: its command line, its workdir, and what was started for it. `changes` are of the configuration."""

    def __init__(self, config_file, workdir, **changes):
        self.workdir = workdir
        self.arguments = ["train", "--config", str(config_file), "--workdir", str(workdir), *flags(changes)]

    def copy_of(self, other):
        """Begins where another run is."""
        shutil.copytree(other.workdir, self.workdir)
        return self

    def start(self, processes=1, devices=1):
        """So many processes with so many devices each, which find each other."""
        if processes == 1:
            return [command.start(self.arguments, devices=devices)]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        several = ["--distributed", "--coordinator", coordinator, "--processes", str(processes), "--process"]
        return [command.start([*self.arguments, *several, str(number)], devices=devices) for number in range(processes)]

    def finish(self, processes=1, devices=1):
        """Runs to the end; returns what the first process said."""
        ends = command.wait(self.start(processes, devices))
        for code, said in ends:
            assert code == 0, f"exit code {code}: {said[-1500:]}"
        return ends[0][1]

    def wait_for_step(self, step, started, timeout=120):
        """Until a run that was started just now has logged that step."""
        begin, end = time.time(), time.monotonic() + timeout
        while self.last_step(begin) < step:
            dead = [process for process in started if process.poll() is not None]
            assert not dead, f"ended before step {step}: {dead[0].communicate()[0][-1500:]}"
            assert time.monotonic() < end, f"step {step} was not reached in {timeout:.0f} s"
            time.sleep(0.01)

    def last_step(self, since):
        """The last step logged, 0 if nothing was logged since that time of day."""
        file = self.workdir / "metrics.jsonl"
        if not file.is_file() or file.stat().st_mtime < since:
            return 0
        return max((row["step"] for row in run_log.read_rows(file)), default=0)

    @property
    def saved(self):
        """Steps of its checkpoints."""
        paths = (self.workdir / "checkpoints").glob("*")
        return sorted(int(path.name) for path in paths if path.name.isdecimal())

    def checkpoint(self, step):
        """Where a checkpoint is."""
        return self.workdir / "checkpoints" / str(step)

    def losses(self):
        """By step."""
        rows = run_log.read_rows(self.workdir / "metrics.jsonl")
        return {row["step"]: row["loss"] for row in rows if "loss" in row}

    def time(self):
        """The account of its time."""
        return json.loads((self.workdir / "time.json").read_text())

    def state(self):
        """Shape, dtype and digest of every array of the newest checkpoint, optimiser and counters included."""
        metadata = json.loads((self.checkpoint(self.saved[-1]) / "_CHECKPOINT_METADATA").read_text())
        return metadata["custom_metadata"]["described"]["arrays"]

    def exported(self):
        """The weights of its model directory, by path."""
        return model_directory.load(self.workdir / "model").params

    def expect_same_end(self, other):
        """Expects the same losses, final state and exported weights as another run, bit for bit."""
        assert self.losses() == other.losses(), "the losses differ from those of the undisturbed run"
        assert self.state() == other.state(), "the final state differs from that of the undisturbed run"
        ours, theirs = self.exported(), other.exported()
        same = all(np.array_equal(ours[path], value) for path, value in theirs.items())
        assert same, "the exported weights differ from those of the undisturbed run"
