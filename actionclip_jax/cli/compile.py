"""`actionclip compile`."""

import argparse
import os
import pathlib
import tempfile
from typing import Any

import rich.table

from actionclip_jax import files, paths
from actionclip_jax.cli import arguments, breakdown, terminal

GIB = 2**30


def add(commands: Any) -> None:
    """actionclip compile --config FILE --topology v5e:4x4"""
    parser = commands.add_parser(
        "compile",
        usage="actionclip compile --config FILE --topology NAME [options]\n       [--config.part.field=value ...]",
        help="does a training step fit hardware that is not here, how fast",
        description="Compiles the training step of a configuration for TPUs or GPUs that need not be here, and says "
        "what it needs and about how fast it would be. Neither data nor weights are needed: config.data.expect says "
        "what the training set is like.",
        epilog="TPUs: pip install 'jax[tpu]'. GPUs: pip install 'jax[cuda13]' (3.5 GB). See docs/hardware.md.",
    )
    parser.set_defaults(execute=execute, takes_settings=True)
    parser.add_argument("--config", required=True, metavar="FILE", help="a shipped one, or file with get_config()")
    parser.add_argument(
        "--topology",
        required=True,
        type=str.lower,
        metavar="NAME",
        help="v4, v5e, v5p or v6e with the chips along each axis (v5e:4x4); a100, h100 or h200 with the GPUs of a host "
        "and the number of hosts (h200:8, h200:8x2); here: the devices of this machine",
    )
    parser.add_argument("--slices", type=arguments.positive, default=1, metavar="N", help="TPU slices of that shape")
    parser.add_argument(
        "--clips-per-device", type=arguments.positive, metavar="N", help="instead of the batch of the configuration"
    )
    parser.add_argument(
        "--utilisation",
        type=arguments.share,
        default=None,
        metavar="SHARE",
        help="of the peak that is reached where the compiler estimates no time (default 0.4)",
    )
    parser.add_argument(
        "--breakdown",
        action="store_true",
        help="show where the step's time goes, and draw it (TPUs: of others unknown)",
    )
    sweep = parser.add_argument_group("sweep")
    sweep.add_argument("--sweep", action="store_true", help="find the largest batch that fits, and draw what it costs")
    sweep.add_argument("--remat", nargs="+", metavar="POLICY", help="policies to try (default: all)")
    sweep.add_argument(
        "--fsdp", nargs="+", type=arguments.positive, metavar="N", help="values of config.sharding.fsdp to try"
    )
    sweep.add_argument(
        "--model", nargs="+", type=arguments.positive, metavar="N", help="values of config.sharding.model to try"
    )
    parser.add_argument("--out", metavar="DIR", help="default outputs/compile/CONFIG-TOPOLOGY")


def execute(options: argparse.Namespace) -> int:
    """Reads the configuration, compiles, prints and writes the report."""
    check_options(options)
    if options.topology != "here":
        os.environ["JAX_PLATFORMS"] = "cpu"  # what is compiled for is not here
    from actionclip_jax import config
    from actionclip_jax.config import config_file, renamed

    run = config_file.load(options.config, options.settings)
    for remat in options.remat or ():
        if remat not in config.REMAT:
            hint = renamed.hint("compute.remat", remat)
            raise ValueError(f"--remat {remat}: expected one of {', '.join(config.REMAT)}{hint}")
    with tempfile.TemporaryDirectory(prefix="actionclip-") as schedules:
        return compile_and_show(options, run, pathlib.Path(schedules))


def compile_and_show(options: argparse.Namespace, run: Any, schedules: pathlib.Path) -> int:
    """Compiles a run's step, whose schedule the compiler writes there for a while; prints and writes the report."""
    from actionclip_jax import config, sharding
    from actionclip_jax.aot import compile, estimate, schedule, sweep, topologies

    with schedule.recorded(schedules):
        topology = topologies.describe(options.topology, options.slices)
    name = options.topology.replace(":", "-") + (f"x{options.slices}" if options.slices > 1 else "")
    out = pathlib.Path(options.out or f"outputs/compile/{pathlib.Path(options.config).stem}-{name}")
    kept = sweep.ReportCache(out / "compiled", options.utilisation or estimate.UTILISATION, schedules)

    def report_of(plan: compile.Plan) -> dict[str, Any]:
        what = f"remat {plan.run.compute.remat}, {plan.batch_size} clips on {topology.name}"
        with terminal.ERRORS.status(f"compiling {what}: takes minutes"):
            return kept(plan)

    if options.sweep:
        fsdps, models = options.fsdp or [run.sharding.fsdp], options.model or [run.sharding.model]
        meshes = [(fsdp, model) for fsdp in fsdps for model in models]
        reports = sweep.sweep(run, topology, options.remat or config.REMAT, meshes, report_of)
        return finish_sweep(reports, out, options.breakdown)
    if options.clips_per_device:
        run = sweep.with_batch(run, options.clips_per_device * sharding.batch_shards(compile.Plan(run, topology).mesh))
    return finish(report_of(compile.Plan(run, topology)), out, options.breakdown)


def check_options(options: argparse.Namespace) -> None:
    """Raises ValueError for options that are no paths, or that do not go together."""
    paths.check({"--config": options.config, "--out": options.out})
    if options.sweep and options.clips_per_device:
        raise ValueError("--sweep tries batches of its own: leave out --clips-per-device")
    if not options.sweep and (options.remat or options.fsdp or options.model):
        raise ValueError(
            "--remat, --fsdp and --model are what --sweep tries; for one step set --config.compute.remat=NAME, "
            "--config.sharding.fsdp=N and --config.sharding.model=N"
        )


def finish_sweep(reports: list[dict[str, Any]], out: pathlib.Path, broken_down: bool) -> int:
    """Prints, draws and writes all reports, and the best one like a single one."""
    from actionclip_jax.aot import sweep
    from actionclip_jax.plots import charts

    files.write_json(out / "sweep.json", reports)
    charts.sweep(out / "sweep.png", reports)
    terminal.CONSOLE.print(sweep_table(reports))
    terminal.say(f"wrote {out / 'sweep.json'} and {out / 'sweep.png'}")
    best = sweep.best(reports)
    if best is None:
        raise ValueError("not one clip a device fits: choose larger devices, or --fsdp and --model above 1")
    terminal.say("\nthe fastest that fits:")
    return finish(best, out, broken_down)


def finish(report: dict[str, Any], out: pathlib.Path, broken_down: bool) -> int:
    """Prints and writes one report and, if wanted, where the step's time goes."""
    terminal.CONSOLE.print(report_table(report))
    if broken_down:
        breakdown.show(report, out / "breakdown.png")
    files.write_json(out / "report.json", report)
    terminal.say(f"wrote {out / 'report.json'}")
    return 0 if report["fits"] else terminal.EXIT_FAILED


def report_table(report: dict[str, Any]) -> rich.table.Table:
    """A report for people."""
    table = rich.table.Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    add_needs(table, report)
    if "clips_per_second" in report:
        add_estimates(table, report)
    return table


def add_needs(table: rich.table.Table, report: dict[str, Any]) -> None:
    """Rows of what was compiled, and what it needs."""
    row = table.add_row
    topology, batch, memory, work = (report[name] for name in ("topology", "batch", "memory", "flops"))
    mesh = " x ".join(f"{name} {size}" for name, size in topology["mesh"].items())
    hosts = f"{topology['hosts']} host{'s' if topology['hosts'] > 1 else ''}"
    row("devices", f"{topology['devices']} x {topology['accelerator']} on {hosts}: {mesh}")
    per_device, compute = batch["clips_per_device"], report["compute"]
    row("batch", f"{batch['clips']} clips of {batch['frames']} frames, {per_device:g} a device")
    row("computed", ", ".join(f"{name} {compute[name]}" for name in ("dtype", "layers", "remat", "attention")))
    fits = "[green]fits[/]" if report["fits"] else "[red]does not fit[/]"
    limit = f" of {memory['available'] / GIB:.2f}"
    parts = ", ".join(
        f"{kind} {memory[kind] / GIB:.2f}" for kind in ("arguments", "results", "temporaries", "code") if kind in memory
    )
    row("memory", f"{fits}: {memory['wanted'] / GIB:.2f}{limit} GiB on each" + (f" ({parts})" if parts else ""))
    again = max(0.0, work["executed"] / work["model"] - 1)
    row("work", f"{work['model'] / 1e12:,.4g} TFLOP a step, and {again:.0%} more to compute again what was not kept")


def add_estimates(table: rich.table.Table, report: dict[str, Any]) -> None:
    """Rows of how long a step would take, and what follows from that."""
    row, seconds = table.add_row, report["seconds"]
    row("floor", f"{milliseconds(seconds['floor'])} a step at 100% of the peak")
    row(f"at {report['assumed_utilisation']:.0%} of it", milliseconds(seconds["assumed"]))
    if "compiler" in seconds:
        row("the compiler's estimate", milliseconds(seconds["compiler"]))
        if kernels := report["uncounted_kernels"]:
            row("", f"without {kernels} runs of kernels, whose time is not known")
    if "scheduled" in seconds:
        row("scheduled", f"{milliseconds(seconds['scheduled'])} of instructions, without waiting for memory")
    for one in report["collectives"]:
        if one["seconds"] >= 1e-5:
            size = f"{one['sent_bytes'] / 1e6:,.1f} MB sent by each"
            what = f"{one['times']} x {one['kind']} of {one['devices']} devices"
            row("collectives", f"{milliseconds(one['seconds'])}: {what}, {size} over {one['over']}")
    shown = "with nothing hidden behind computation"
    row("step", f"{milliseconds(seconds['step'])} {shown}: {report['model_flop_utilisation']:.0%} of the peak")
    row("rate", f"{report['clips_per_second']:,.0f} clips/s")
    hours = report["device_hours"]
    row("run", f"{report['epoch_seconds']:,.0f} s an epoch, {hours:,.1f} device-hours in all")
    data = report["input"]
    amount = f"{data['bytes_per_second_and_host'] / 1e6:,.0f} MB/s"
    row("input", f"{data['clips_per_second_and_host']:,.0f} clips/s, {amount} on each host; CPU cores for that:")
    for storage, cores in data["cores_per_host"].items():
        row("", f"{cores:,.1f} from {storage}")


def sweep_table(reports: list[dict[str, Any]]) -> rich.table.Table:
    """What was compiled, a row each."""
    columns = ("remat", "fsdp", "model", "clips a device", "GiB", "fits", "clips/s", "of peak")
    table = rich.table.Table(*columns)
    for report in sorted(reports, key=lambda one: (one["topology"]["mesh"]["fsdp"], one["batch"]["clips_per_device"])):
        mesh, rate = report["topology"]["mesh"], report.get("clips_per_second")
        table.add_row(
            report["compute"]["remat"],
            str(mesh["fsdp"]),
            str(mesh["model"]),
            f"{report['batch']['clips_per_device']:g}",
            f"{report['memory']['wanted'] / GIB:.2f}",
            "yes" if report["fits"] else "no",
            f"{rate:,.0f}" if rate else "",
            f"{report['model_flop_utilisation']:.0%}" if rate else "",
        )
    return table


def milliseconds(seconds: float) -> str:
    """A duration."""
    return f"{seconds * 1000:,.2f} ms"
