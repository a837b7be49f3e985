"""Weak scaling: from 8 to 1,024 devices, as XLA compiles the training step for them.

Compiles for accelerators that are not here (`actionclip compile`; minutes for each number of devices) and shows what
collectives would add to a step if nothing hid them.

    python benchmarks/scaling.py --config configs/k400_vit_b16_8f.py --clips-per-device 16
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import rich.table
import rivals

ACTIONCLIP = [sys.executable, "-c", "import sys; from actionclip_jax import cli; sys.exit(cli.main())"]
TOPOLOGIES = {  # name, slices
    "v5e": (("v5e:2x4", 1), ("v5e:4x4", 1), ("v5e:8x8", 1), ("v5e:16x16", 1), ("v5e:16x16", 4)),
    "v6e": (("v6e:2x4", 1), ("v6e:4x4", 1), ("v6e:8x8", 1), ("v6e:16x16", 1), ("v6e:16x16", 4)),
    "v5p": (("v5p:2x2x2", 1), ("v5p:4x4x4", 1), ("v5p:4x4x8", 1), ("v5p:8x8x8", 1), ("v5p:8x8x16", 1)),
    "h200": (("h200:8", 1), ("h200:8x4", 1), ("h200:8x16", 1), ("h200:8x64", 1), ("h200:8x128", 1)),
}


def compiled(options: argparse.Namespace, topology: str, slices: int) -> dict:
    """The report of `actionclip compile`, kept in the output directory."""
    out = options.out / f"{topology.replace(':', '-')}x{slices}"
    (out / "report.json").unlink(missing_ok=True)
    arguments = ["compile", "--config", options.config, "--topology", topology, "--slices", str(slices)]
    arguments += ["--clips-per-device", str(options.clips_per_device), "--out", str(out), *options.settings]
    ran = subprocess.run(
        [*ACTIONCLIP, *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
    )
    if ran.returncode not in (0, 1) or not (out / "report.json").is_file():  # 1: it does not fit
        raise SystemExit(f"{topology}: {ran.stdout}")
    return json.loads((out / "report.json").read_text())


def over(report: dict, way: str) -> float:
    """Milliseconds of the collectives that go that way."""
    return 1000 * sum(one["seconds"] for one in report["collectives"] if one["over"] == way)


def print_table(options: argparse.Namespace, reports: list[dict]) -> None:
    """A row for every number of devices, each with as many clips a device."""
    columns = ("devices", "topology", "batch", "GiB", "compute ms", "scheduled ms", "links ms", "network ms", "share")
    title = f"{options.config}, {options.clips_per_device} clips a device, collectives not hidden"
    table = rich.table.Table(*columns, "clips/s", "clips/s/device", title=title)
    for report in reports:
        topology, seconds, memory = report["topology"], report.get("seconds"), report["memory"]["wanted"] / 2**30
        name = topology["name"] + (f" x {topology['slices']}" if topology["slices"] > 1 else "")
        cells = [str(topology["devices"]), name, f"{report['batch']['clips']:,}"]
        cells.append(f"{memory:.2f}" + ("" if report["fits"] else " (too much)"))
        if seconds:  # the compiler has not given up
            cells += [
                f"{1000 * (seconds['step'] - seconds['collectives']):.1f}",
                f"{1000 * seconds['scheduled']:.1f}" if "scheduled" in seconds else "",
                f"{over(report, 'links'):.2f}",
                f"{over(report, 'network'):.2f}",
                f"{seconds['collectives'] / seconds['step']:.1%}",
                f"{report['clips_per_second']:,.0f}",
                f"{report['clips_per_second'] / topology['devices']:.1f}",
            ]
        table.add_row(*cells)
    rivals.CONSOLE.print(table)


def main() -> None:
    """Reads the command line, compiles, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/k400_vit_b16_8f.py")
    parser.add_argument("--kind", default="v5e", choices=TOPOLOGIES)
    parser.add_argument("--clips-per-device", type=int, default=16)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("outputs/scaling"))
    parser.add_argument("--topologies", type=int, help="only the first so many")
    parser.add_argument("--json", type=pathlib.Path, help="write the reports here as well")
    options, options.settings = parser.parse_known_args()
    reports = [compiled(options, *topology) for topology in TOPOLOGIES[options.kind][: options.topologies]]
    print_table(options, reports)
    rivals.write_json(options, reports)


if __name__ == "__main__":
    main()
