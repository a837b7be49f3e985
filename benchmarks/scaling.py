"""Weak scaling: from 8 to 1,024 devices as XLA compiles the step for them, and on virtual hosts for correctness.

The first table compiles the training step for accelerators that are not here (`actionclip compile`; minutes for each)
and shows what collectives would add to a step if nothing hid them. The second really trains: one run on four CPU
devices in 1, 2 and 4 processes, whose losses must be the same.

    python benchmarks/scaling.py --config configs/k400_vit_b16_8f.py --clips-per-device 16
"""

import argparse
import json
import pathlib
import sys
import tempfile

import rich.console
import rich.table

sys.path.insert(0, str(pathlib.Path(__file__).parent / "faults"))  # its tiny run serves here too

import harness
import tiny

CONSOLE = rich.console.Console(width=120)
TOPOLOGIES = {  # name, slices
    "v5e": (("v5e:2x4", 1), ("v5e:4x4", 1), ("v5e:8x8", 1), ("v5e:16x16", 1), ("v5e:16x16", 4)),
    "v6e": (("v6e:2x4", 1), ("v6e:4x4", 1), ("v6e:8x8", 1), ("v6e:16x16", 1), ("v6e:16x16", 4)),
    "v5p": (("v5p:2x2x2", 1), ("v5p:4x4x4", 1), ("v5p:4x4x8", 1), ("v5p:8x8x8", 1), ("v5p:8x8x16", 1)),
    "h200": (("h200:8", 1), ("h200:8x4", 1), ("h200:8x16", 1), ("h200:8x64", 1), ("h200:8x128", 1)),
}
STEPS = 20


def compiled(options: argparse.Namespace, topology: str, slices: int) -> dict:
    """The report of `actionclip compile`, kept in the output directory."""
    out = options.out / f"{topology.replace(':', '-')}x{slices}"
    (out / "report.json").unlink(missing_ok=True)
    arguments = ["compile", "--config", options.config, "--topology", topology, "--slices", str(slices)]
    arguments += ["--clips-per-device", str(options.clips_per_device), "--out", str(out), *options.settings]
    code, said = harness.run(arguments, timeout=3600, environment={"XLA_FLAGS": ""})
    if code not in (0, 1) or not (out / "report.json").is_file():
        raise SystemExit(f"{topology}: {said}")
    return json.loads((out / "report.json").read_text())


def over(report: dict, way: str) -> float:
    """Milliseconds of the collectives that go that way."""
    return 1000 * sum(one["seconds"] for one in report["collectives"] if one["over"] == way)


def weak_scaling(options: argparse.Namespace) -> None:
    """A row for every number of devices, each with as many clips a device."""
    columns = ("devices", "topology", "batch", "GiB", "compute ms", "links ms", "network ms", "share", "clips/s")
    title = f"{options.config}, {options.clips_per_device} clips a device, collectives not hidden"
    table = rich.table.Table(*columns, "clips/s/device", title=title)
    for topology, slices in TOPOLOGIES[options.kind]:
        report = compiled(options, topology, slices)
        devices, seconds = report["topology"]["devices"], report.get("seconds")
        memory = f"{report['memory']['wanted'] / 2**30:.2f}" + ("" if report["fits"] else " (too much)")
        if seconds is None:  # the compiler gave up
            table.add_row(str(devices), topology, f"{report['batch']['clips']:,}", memory)
            continue
        table.add_row(
            str(devices),
            topology + (f" x {slices}" if slices > 1 else ""),
            f"{report['batch']['clips']:,}",
            memory,
            f"{1000 * (seconds['step'] - seconds['collectives']):.1f}",
            f"{over(report, 'links'):.2f}",
            f"{over(report, 'network'):.2f}",
            f"{seconds['collectives'] / seconds['step']:.1%}",
            f"{report['clips_per_second']:,.0f}",
            f"{report['clips_per_second'] / devices:.1f}",
        )
    CONSOLE.print(table)


def virtual_hosts() -> None:
    """The same run of four devices in 1, 2 and 4 processes."""
    table = rich.table.Table(
        "processes", "devices each", "seconds in all", "largest difference of a loss", title="runs"
    )
    with tempfile.TemporaryDirectory() as folder:
        losses: dict[int, float] = {}
        for processes in (1, 2, 4):
            run = tiny.Run(pathlib.Path(folder), f"{processes}", optim__steps=STEPS)
            run.finish(processes, devices=4 // processes)
            found = run.losses()
            losses = losses or found
            worst = max(abs(found[step] / losses[step] - 1) for step in losses)
            harness.expect(found.keys() == losses.keys() and worst < 1e-5, f"{processes} processes: {worst:.1e}")
            seconds = sum(value for value in run.time()["seconds"].values())
            table.add_row(str(processes), str(4 // processes), f"{seconds:.1f}", f"{worst:.1e}")
    CONSOLE.print(table)


def main() -> None:
    """Reads the command line and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/k400_vit_b16_8f.py")
    parser.add_argument("--kind", default="v5e", choices=TOPOLOGIES)
    parser.add_argument("--clips-per-device", type=int, default=16)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("outputs/scaling"))
    parser.add_argument("--only", choices=("compiled", "hosts"))
    options, options.settings = parser.parse_known_args()
    if options.only != "hosts":
        weak_scaling(options)
    if options.only != "compiled":
        virtual_hosts()


if __name__ == "__main__":
    main()
