"""Benchmarks and tests on a machine with one NVIDIA GPU and no network, in minutes, with all results in one JSON.

The machine has Python 3.12 with jax (CUDA) and torch; the rest is carried there as wheels.

    make wheels                                           # where there is a network; then carry the folder along
    python3 benchmarks/one_gpu.py --out outputs/one_gpu   # there
    python3 benchmarks/one_gpu.py --out outputs/one_gpu --cpu --parts train   # anywhere, in small, to try it

Parts run one after the other, the most valuable first, each within its own time. `results.json` is written anew after
every part: passed, failed or cut off, with the end of its output (all of it is in a log beside) and what it measured.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import site
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TAIL = 6000  # characters of a part's output that are kept
LEAST = 15  # seconds in which a part can do something
DEV = ("torch", "jaxlib", "pytest", "pytest-xdist", "hypothesis")


@dataclasses.dataclass(frozen=True)
class Part:
    """A command, run in the repository by the prepared Python."""

    name: str
    arguments: tuple[str, ...]
    limit: float  # seconds
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def benchmark(script: str, name: str, limit: float, *arguments: str) -> Part:
    """A part that compares with PyTorch; half of its time is left for a long compilation and for measuring."""
    prepare = ("--prepare", f"{limit / 2:.0f}", "--json", f"{{out}}/{name}.json")
    return Part(name, (f"benchmarks/{script}.py", *arguments, *prepare), limit)


def tests(name: str, limit: float, workers: int, *arguments: str, platform: str) -> Part:
    """A part that runs pytest. Stealing work fills many cores better than whole files do."""
    environment = {"JAX_PLATFORMS": platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    spread = ("--numprocesses", str(workers), "--dist", "worksteal")
    return Part(name, ("-m", "pytest", "-q", "--color=no", *spread, *arguments), limit, environment)


def parts_on_gpu() -> list[Part]:
    """What is wanted of a GPU, in order of value."""
    ways = ("--layers", "unroll", "scan", "--attention", "cudnn", "xla")
    short = ("--dtypes", "bfloat16", "--layers", "unroll", "--repeats", "3")
    others = ("--sizes", "ViT-B/32", "ViT-L/14")
    workers = max(1, (os.cpu_count() or 1) - 1)
    return [
        benchmark("train_step", "train", 240, "--dtypes", "bfloat16", *ways, "--remat", "everything", "qkv_and_mlp"),
        benchmark("inference", "inference", 90, "--dtypes", "bfloat16", *ways),
        tests(
            "tests_on_gpu", 60, 4, "tests/models/test_models.py", "tests/checkpoints/test_convert.py", platform="cuda"
        ),
        tests("tests_on_cpu", 150, workers, platform="cpu"),  # with eight virtual devices
        benchmark("inference", "inference_sizes", 120, *others, *short),
        benchmark("train_step", "train_sizes", 240, *others, *short),
        benchmark("train_step", "train_frames", 240, "--frames", "16", "32", *short),
        benchmark("inference", "inference_frames", 120, "--frames", "16", "32", *short),
    ]


def parts_on_cpu() -> list[Part]:
    """The same in small: they show that this script works."""
    tiny = ("--sizes", "small", "--batch", "2", "--repeats", "1", "--dtypes", "float32")  # in which every CPU is quick
    ways = ("--layers", "scan", "--attention", "cudnn", "xla")
    return [
        benchmark("train_step", "train", 220, *tiny, "--frames", "2", *ways),
        benchmark("inference", "inference", 120, *tiny, "--frames", "2", *ways),
        tests("tests_on_gpu", 90, 0, "tests/models/test_models.py", "-k", "cudnn or shape", platform="cpu"),
        tests(
            "tests_on_cpu", 60, 2, "tests/evaluation/test_metrics.py", "tests/training/test_digests.py", platform="cpu"
        ),
        benchmark("inference", "inference_frames", 120, *tiny, "--frames", "2", "4", "--peers", "torch"),
    ]


def make_environment(folder: pathlib.Path, wheels: pathlib.Path) -> str:
    """A virtual environment of what is installed here, the wheels, and this project; its Python.

    Wheels win over what is installed. The base's packages are named to it, since a virtual environment made in another
    one sees the packages of neither that one nor, without being told, this folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", folder], check=True)
    python = folder / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    place = pathlib.Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    base = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (place / "base.pth").write_text("\n".join([str(ROOT), *base, ""]), encoding="utf-8")
    if found := sorted(wheels.glob("*.whl")):
        offline = ("--no-index", "--no-deps", "--no-compile", "--ignore-installed", "--quiet")
        pip = [sys.executable, "-m", "pip", "--python", python, "install", *offline, *found]
        subprocess.run(pip, check=True)
    return str(python)


def report_packages(python: str) -> dict[str, str | None]:
    """Versions of all that the project asks for; None where it is missing."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    names = [*re.findall(r"^[\w.-]+", text, re.MULTILINE), *DEV]
    asked = subprocess.run([python, __file__, "--versions", *names], check=True, capture_output=True, text=True)
    return json.loads(asked.stdout)


def find_versions(names: list[str]) -> dict[str, str | None]:
    """The versions of packages as this Python sees them."""
    versions = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def describe_gpu() -> str:
    """What the driver says of it."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version,power.limit", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"none: {error}"


def run_part(part: Part, python: str, out: pathlib.Path, limit: float, environment: dict[str, str]) -> dict:
    """What came of a part."""
    command = [python, *(argument.replace("{out}", str(out)) for argument in part.arguments)]
    start = time.monotonic()
    log = out / f"{part.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, **part.environment},
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
    measured = out / f"{part.name}.json"
    return {
        "outcome": outcome,
        "code": process.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "limit": round(limit),
        "command": " ".join(command),
        "tail": log.read_text(encoding="utf-8", errors="replace")[-TAIL:],
        "measured": json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else None,
    }


def end(process: subprocess.Popen) -> None:
    """Ends a part and all that it has started; pytest, interrupted, still says what has failed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write(results: dict, out: pathlib.Path) -> None:
    """The results so far."""
    partial = out / "results.partial"
    partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    partial.replace(out / "results.json")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "outputs" / "one_gpu")
    parser.add_argument("--wheels", type=pathlib.Path, default=ROOT / "wheels")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--cpu", action="store_true", help="the same parts in small, without a GPU")
    parser.add_argument("--parts", nargs="+", help="only these, by name")
    parser.add_argument("--versions", nargs="+", help=argparse.SUPPRESS)  # asked of the prepared Python
    return parser.parse_args()


def main() -> None:
    """Runs the parts while time is left."""
    options, start = parse(), time.monotonic()
    if options.versions:
        print(json.dumps(find_versions(options.versions)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a part never outlives this script
    parts = parts_on_cpu() if options.cpu else parts_on_gpu()
    names = [part.name for part in parts]
    if unknown := set(options.parts or ()) - set(names):
        sys.exit(f"no part is called {', '.join(unknown)}: they are {', '.join(names)}")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    python = make_environment(out / "venv", options.wheels)
    packages = report_packages(python)
    results = {"gpu": describe_gpu(), "cores": os.cpu_count(), "packages": packages, "parts": {}}
    print(f"{results['gpu']}; missing: {', '.join(name for name in packages if not packages[name]) or 'nothing'}")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(out / "compiled")  # a second run on the machine compiles less
    if options.cpu:
        environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    for part in parts:
        if options.parts and part.name not in options.parts:
            continue
        (out / f"{part.name}.json").unlink(missing_ok=True)  # of an earlier run
        left = options.minutes * 60 - (time.monotonic() - start) - 6  # `end` may take five
        if left < LEAST:
            results["parts"][part.name] = {"outcome": "not started"}
        else:
            results["parts"][part.name] = run_part(part, python, out, min(part.limit, left), environment)
        done = results["parts"][part.name]
        print(f"{part.name}: {done['outcome']}, {done.get('seconds', 0):.0f} s", flush=True)
        write(results, out)


if __name__ == "__main__":
    main()
