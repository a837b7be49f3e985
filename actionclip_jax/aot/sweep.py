"""Finds the largest batch that fits for every remat policy and mesh, by compiling at few sizes."""

import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from actionclip_jax import config, files, sharding
from actionclip_jax.aot import compile, estimate, topologies
from actionclip_jax.models import action_clip

logger = logging.getLogger(__name__)

# clips a device that are tried
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
FIRST = 8
NEAR = 1.1  # a size predicted to need at most so much of the memory is compiled: the prediction may be wrong

Report = dict[str, Any]


def sweep(
    run: config.TrainConfig,
    topology: topologies.Topology,
    remats: Sequence[str],
    meshes: Sequence[tuple[int, int]],
    report_of: Callable[[compile.Plan], Report],
) -> list[Report]:
    """Reports of all that was compiled, of each remat policy and (fsdp, model) at several batch sizes.

    Raises ValueError for a mesh that is impossible, before anything compiles.
    """
    reports = []
    sizes = [size * run.optim.accumulate for size in SIZES]
    shapes = action_clip.param_shapes(run.model)
    runs = [
        dataclasses.replace(run, sharding=dataclasses.replace(run.sharding, fsdp=fsdp, model=model))
        for fsdp, model in meshes
    ]
    for one in runs:
        sharding.param_shardings(shapes, compile.Plan(one, topology).mesh)
    for one in runs:
        shares = sharding.batch_shards(compile.Plan(one, topology).mesh)
        for remat in remats:
            changed = dataclasses.replace(one, compute=dataclasses.replace(run.compute, remat=remat))

            def measure(size: int, changed: config.TrainConfig = changed, shares: int = shares) -> Report:
                report = report_of(compile.Plan(with_batch(changed, size * shares), topology))
                logger.info(describe(report))
                return report

            measured = search(measure, sizes)
            largest = max((size for size, report in measured.items() if report["fits"]), default=0)
            logger.info(
                f"remat {remat}, fsdp {one.sharding.fsdp}, model {one.sharding.model}: {largest} clips a device fit"
            )
            reports += measured.values()
    return reports


def with_batch(run: config.TrainConfig, size: int) -> config.TrainConfig:
    """The run with another global batch."""
    loader = dataclasses.replace(run.data.loader, batch_size=size)
    return dataclasses.replace(run, data=dataclasses.replace(run.data, loader=loader))


def describe(report: Report) -> str:
    """A line about one report."""
    memory, rate = report["memory"], report.get("clips_per_second")
    what = f"{report['compute']['remat']}, {report['batch']['clips_per_device']:g} clips a device"
    needs = f"{memory['wanted'] / 2**30:.2f} GiB" + ("" if report["fits"] else ": does not fit")
    return f"  {what}: {needs}{f', about {rate:,.0f} clips/s' if rate else ''} ({report['compile_seconds']:.0f} s)"


def search(measure: Callable[[int], Report], sizes: Sequence[int]) -> dict[int, Report]:
    """Measures sizes until the largest that fits is known, or the next one is far too large.

    Temporaries grow with the clips, what else there is does not: one size foretells the others.
    """
    measured: dict[int, Report] = {}
    size: int | None = min(sizes, key=lambda size: abs(size - FIRST))
    while size is not None:
        measured[size] = measure(size)
        size = choose_next(measured, sizes)
    return measured


def choose_next(measured: dict[int, Report], sizes: Sequence[int]) -> int | None:
    """The next size worth compiling, None if there is none."""
    fitting = max((size for size, report in measured.items() if report["fits"]), default=0)
    failing = min((size for size, report in measured.items() if not report["fits"]), default=max(sizes) + 1)
    open_sizes = [size for size in sizes if fitting < size < failing]
    if not open_sizes:
        return None
    nearest = fitting or failing
    memory = measured[nearest]["memory"]
    fixed = sum(memory.get(kind, 0) for kind in ("arguments", "results", "code"))
    expected = {size: fixed + (memory["wanted"] - fixed) * size / nearest for size in open_sizes}
    likely = [size for size in open_sizes if expected[size] <= memory["available"]]
    if likely:
        return likely[-1]
    return open_sizes[0] if expected[open_sizes[0]] <= NEAR * memory["available"] or not fitting else None


def best(reports: Sequence[Report]) -> Report | None:
    """The fastest of those that fit."""
    return max(
        (report for report in reports if report["fits"]),
        key=lambda report: (report.get("clips_per_second", 0), report["batch"]["clips"]),
        default=None,
    )


@dataclasses.dataclass(frozen=True)
class ReportCache:
    """Reports kept in a directory by what they are of, so that an interrupted sweep goes on where it was."""

    directory: pathlib.Path
    utilisation: float
    schedules: pathlib.Path | None = None  # where the compiler writes them

    def __call__(self, plan: compile.Plan) -> Report:
        """The report of a plan, compiled unless it was before."""
        topology = plan.topology
        described = [
            config.to_dict(plan.run),
            (topology.name, len(topology.devices), config.to_dict(topology.accelerator)),
            self.utilisation,
            estimate.versions(),
            {name: value for name, value in os.environ.items() if re.match("JAX_|XLA_|LIBTPU_INIT_ARGS", name)},
            source_digest(),
            config.code_digests(plan.run),
        ]
        name = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
        path = self.directory / f"{name}.json"
        if known := files.read_if_whole(path):
            return known
        report = estimate.report(compile.compile_plan(plan, self.schedules), self.utilisation)
        files.write_json(path, report)
        return report


@functools.cache
def source_digest() -> str:
    """Of this package, whose every change may change a report."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
