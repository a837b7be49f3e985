"""All benchmarks on this machine, within the time there is, with all results in one JSON.

    python benchmarks/report.py                   # a machine with one accelerator
    python benchmarks/report.py --tests           # and the tests of the models on it
    python benchmarks/report.py --cpu             # anywhere, in small, to try it

Parts run one after the other, the most valuable first, each within its own time. The JSON is written anew after every
part: passed, failed, cut off or left, with the end of its output and what it measured.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from actionclip_jax import files

ROOT = pathlib.Path(__file__).resolve().parents[1]
TAIL = 6000  # characters of a part's output that are kept
LEAST = 15  # seconds in which a part can do something
ENDING = 5  # seconds that a part gets to end itself
MEASURING = 40  # seconds of a part that compares peers, beyond their preparation: loading, and taking turns
PACKAGES = ("jax", "jaxlib", "flax", "optax", "grain", "av", "torch", "transformers", "libtpu")


@dataclasses.dataclass(frozen=True)
class Part:
    """A command, run in the repository by this Python."""

    name: str
    arguments: tuple[str, ...]
    limit: float  # seconds
    cases: int = 0  # in which peers take turns

    @property
    def least(self) -> float:
        """Seconds in which it can do something."""
        return LEAST + (MEASURING if self.cases else 0)

    def command(self, measured: pathlib.Path, limit: float) -> list[str]:
        """Its words, for that many seconds; a benchmark writes what it measures into that file."""
        words = [sys.executable, *self.arguments]
        if self.cases:  # peers that would not be ready in time are left out
            words += ["--prepare", f"{(limit - MEASURING) / self.cases:.0f}"]
        return words if "pytest" in words else [*words, "--json", str(measured)]


def benchmark(script: str, limit: float, *arguments: str, name: str = "", cases: int = 0) -> Part:
    """A part that runs a script of this folder; its name is the script's unless given."""
    return Part(name or script, (f"benchmarks/{script}.py", *arguments), limit, cases)


def against_torch(script: str, limit: float, *arguments: str, name: str = "", cases: int = 1) -> Part:
    """A part in which peers take turns."""
    return benchmark(script, limit, *arguments, name=name, cases=cases)


def tests(name: str, limit: float, *arguments: str) -> Part:
    """A part that runs tests."""
    return Part(name, ("-m", "pytest", "-q", "--color=no", *arguments), limit)


def model_tests(limit: float) -> Part:
    """The tests of what an accelerator computes."""
    return tests("tests", limit, "tests/models", "tests/checkpoints/test_convert.py")


def parts_on_accelerator() -> list[Part]:
    """What is wanted of an accelerator, in order of value: the first four take nine minutes, without `tests`."""
    ways = ("--dtypes", "bfloat16", "--layers", "unroll", "--attention", "cudnn", "xla")
    short = ("--dtypes", "bfloat16", "--layers", "unroll", "--repeats", "3")
    tuned = (*short, "--attention", "auto", "--peers", "torch.max-autotune", "jax")
    sizes = (*short, "--sizes", "ViT-B/32", "ViT-L/14")
    frames = (*short, "--frames", "16", "32")
    return [
        against_torch("train_step", 230, *ways, "--remat", "everything", "qkv_and_mlp"),
        against_torch("inference", 100, *ways),
        tests("gpu_tests", 60, "-m", "gpu", "tests/models"),
        against_torch("train_step", 150, *tuned, name="train_tuned"),
        against_torch("inference", 120, *tuned, name="inference_tuned"),
        model_tests(120),
        against_torch("inference", 120, *sizes, name="inference_sizes", cases=2),
        against_torch("train_step", 240, *sizes, name="train_sizes", cases=2),
        against_torch("train_step", 240, *frames, name="train_frames", cases=2),
        against_torch("inference", 120, *frames, name="inference_frames", cases=2),
        benchmark("evaluation", 180),
        benchmark("data", 300),
        benchmark("flops", 120),
        benchmark("scaling", 1200),
    ]


def parts_on_cpu() -> list[Part]:
    """The same in small: they show that all of it works."""
    tiny = ("--sizes", "small", "--batch", "2", "--repeats", "1", "--dtypes", "float32")  # in which every CPU is quick
    ways = ("--layers", "scan", "--attention", "cudnn", "xla")
    frames = (*tiny, "--frames", "2", "4", "--peers", "torch")
    return [
        benchmark("flops", 120, "--sizes", "ViT-B/32"),
        against_torch("train_step", 220, *tiny, "--frames", "2", *ways),
        against_torch("inference", 120, *tiny, "--frames", "2", *ways),
        model_tests(300),
        tests("gpu_tests", 60, "-m", "gpu", "tests/models"),
        against_torch("train_step", 220, *tiny, "--frames", "2", "--peers", "torch.max-autotune", name="train_tuned"),
        against_torch("inference", 120, *frames, name="inference_frames", cases=2),
        benchmark("evaluation", 180, "--size", "small", "--frames", "2", "--count", "4", "--repeats", "1"),
        benchmark("data", 180, "--count", "1", "--clips", "4", "--repeats", "1", "--seconds", "0"),
        benchmark("scaling", 600, "--topologies", "1"),
    ]


def run_part(part: Part, limit: float, environment: dict[str, str]) -> dict[str, Any]:
    """What came of a part."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        log, measured = pathlib.Path(folder) / "log", pathlib.Path(folder) / "measured.json"
        command = part.command(measured, limit)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                outcome = "passed" if process.wait(limit) == 0 else "failed"
            except subprocess.TimeoutExpired:
                outcome = "cut off"
            finally:
                end(process)
        return {
            "outcome": outcome,
            "code": process.returncode,
            "seconds": round(time.monotonic() - start, 1),
            "limit": round(limit),
            "command": command,
            "tail": log.read_text(encoding="utf-8", errors="replace")[-TAIL:],
            "measured": json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else None,
        }


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a part and all that it has started; pytest, interrupted, still says what has failed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_machine() -> dict[str, Any]:
    """What the figures depend on; each part tells its device."""
    versions: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"machine": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "versions": versions}


def choose_parts(options: argparse.Namespace) -> list[Part]:
    """Those that were asked for."""
    parts = parts_on_cpu() if options.cpu else parts_on_accelerator()
    names = [part.name for part in parts]
    if unknown := set(options.parts or ()) - set(names):
        sys.exit(f"no part is called {', '.join(sorted(unknown))}: they are {', '.join(names)}")
    wanted = options.parts or [name for name in names if not name.endswith("tests") or options.tests]
    return [part for part in parts if part.name in wanted]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "outputs" / "benchmarks.json", help="the JSON")
    parser.add_argument("--seconds", type=float, default=3600, help="for everything")
    parser.add_argument("--tests", action="store_true", help="the tests of the models too, on the same device")
    parser.add_argument("--cpu", action="store_true", help="the same parts in small, on the CPU")
    parser.add_argument("--parts", nargs="+", help="only these, by name")
    return parser.parse_args()


def main() -> None:
    """Runs the parts while time is left; exit code 1 if one failed."""
    options, start = parse(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a part never outlives this script
    parts = choose_parts(options)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(options.out.resolve().parent / "compiled"))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if options.cpu:
        environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    done: dict[str, dict[str, Any]] = {part.name: {"outcome": "left"} for part in parts}
    machine = describe_machine()
    for part in parts:
        left = options.seconds - (time.monotonic() - start) - ENDING
        if left >= part.least:
            done[part.name] = run_part(part, min(part.limit, left), environment)
        print(f"{part.name}: {done[part.name]['outcome']}, {done[part.name].get('seconds', 0):.0f} s", flush=True)
        files.write_json(options.out, machine | {"parts": done})
    outcomes = {name: result["outcome"] for name, result in done.items()}
    left_over = [name for name, outcome in outcomes.items() if outcome in ("left", "cut off")]
    print(f"wrote {options.out}; out of time for: {', '.join(left_over) or 'nothing'}")
    sys.exit("failed" in outcomes.values())


if __name__ == "__main__":
    main()
