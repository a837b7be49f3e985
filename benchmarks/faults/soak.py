"""Trains for minutes or hours and fails if memory, threads or open files grow.

`python benchmarks/faults/soak.py --data DIR`: a small model on a folder of videos, a folder for each class, with loader
workers, checkpoints and evaluations all the time, in a process of its own that is looked at from outside (Linux).
"""

import argparse
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import harness
import rich.console
import rich.table
import tiny

from actionclip_jax.training import run_log

SETTLED = 0.3  # of the run, after which nothing may grow any more
MOST_GROWTH = 0.03  # of the memory, from then on
CONFIG = """
from actionclip_jax.config import config_file

def get_config():
    run = config_file.default()
    run.model.image.update(size=64, patch=16, width=128, depth=2, heads=2)
    run.model.text.update(width=128, depth=2, heads=2)
    run.model.temporal.update(head="Transf", depth=1, heads=2)
    run.model.update(embed_width=128, frames=4)
    for part in ("train", "test"):
        run.data[part].update(path={data!r}, kind="folders")
    run.data.sample.update(frames=4, size=64)
    run.data.loader.update(batch_size=16, workers=1)
    run.optim.update(epochs=100000.0, warmup_epochs=1.0, lr=1e-4)
    run.checkpoint.update(every_epochs=1.0)
    run.eval_every_epochs = 4.0
    return run
"""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the run and its workers hold together."""

    seconds: float
    step: int
    resident: int  # bytes
    threads: int
    files: int  # open, of the run alone: those of workers come and go with every video


def take(process: subprocess.Popen, begin: float, workdir: pathlib.Path) -> Reading:
    """The process and its children as they are now."""
    step = max((row["step"] for row in run_log.read_rows(workdir / "metrics.jsonl")), default=0)
    resident = threads = 0
    for pid in [process.pid, *tiny.children(process.pid)]:
        status = dict(
            line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        resident += 1024 * int(status["VmRSS"].split()[0])
        threads += int(status["Threads"])
    files = sum(1 for _ in pathlib.Path(f"/proc/{process.pid}/fd").iterdir())
    return Reading(time.monotonic() - begin, step, resident, threads, files)


def judge(readings: list[Reading]) -> list[str]:
    """What grew after the run had settled: the least of the last third against the least of the third before."""
    later = [reading for reading in readings if reading.seconds >= SETTLED * readings[-1].seconds]
    half = len(later) // 2
    found = []
    for name in ("resident", "threads", "files"):
        before, after = (min(getattr(reading, name) for reading in part) for part in (later[:half], later[half:]))
        allowed = MOST_GROWTH * before if name == "resident" else 0
        if after - before > allowed:
            found.append(f"{name} grew from {before} to {after}")
    return found


def main() -> None:
    """Reads the command line, trains, prints readings and PASS or what grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="a folder of videos for each class")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=pathlib.Path, help="write the readings here as well")
    options = parser.parse_args()
    console, readings = rich.console.Console(), []
    with tempfile.TemporaryDirectory(prefix="actionclip-soak-") as folder:
        file, workdir = pathlib.Path(folder) / "soak.py", pathlib.Path(folder) / "run"
        file.write_text(CONFIG.format(data=str(options.data.absolute())))
        process = harness.start(["train", "--config", str(file), "--workdir", str(workdir)], output=None)
        begin = time.monotonic()
        while time.monotonic() < begin + 60 * options.minutes:
            time.sleep(min(5, options.minutes))
            if process.poll() is not None:
                sys.exit(f"the run ended with {process.returncode}")
            readings.append(take(process, begin, workdir))
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        spent = json.loads((workdir / "time.json").read_text())["seconds"]
    table = rich.table.Table("minutes", "step", "RSS, MB", "threads", "open files")
    for reading in readings[:: max(1, len(readings) // 20)]:
        numbers = (f"{reading.seconds / 60:.1f}", reading.step, f"{reading.resident / 1e6:.0f}")
        table.add_row(*map(str, numbers), str(reading.threads), str(reading.files))
    console.print(table)
    console.print(f"stopped by SIGTERM with exit code {code}; seconds by purpose: {spent}")
    grown = judge(readings) + ([] if code == 75 else [f"exit code {code} instead of 75"])
    console.print("\n".join(grown) or "PASS: neither memory nor threads nor open files grow")
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(reading) for reading in readings], indent=1) + "\n")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
