"""What a compiled step needs, about how fast it would be, and what follows from that."""

import contextlib
import dataclasses
import importlib.metadata
from collections.abc import Sequence
from typing import Any

from actionclip_jax import config, sharding
from actionclip_jax.aot import accelerators, breakdown, compile, hlo
from actionclip_jax.models import flops
from actionclip_jax.training import expected, optim, setup

# Training clips/s that a CPU core reads from each storage, 8 frames: benchmarks/data.py, docs/performance.md.
CLIPS_PER_CORE = {
    "prepare --storage jpeg": 168.0,
    "prepare --storage video": 124.0,
    "video files, a keyframe every 12 frames": 25.0,
    "video files, a keyframe every 250 frames": 10.0,
}
RAND_AUGMENT_SECONDS = 1 / 85 - 1 / 168  # what it adds to a clip of 8 frames
UTILISATION = 0.4  # of the peak; published training of this size reached 0.13 to 0.16


def report(compiled: compile.Compiled, utilisation: float = UTILISATION) -> dict[str, Any]:
    """All that is known and estimated of a step, ready for JSON. Times are in seconds, sizes in bytes."""
    plan = compiled.plan
    run, topology, mesh = plan.run, plan.topology, plan.mesh
    texts = setup.texts_per_clip(run, run.data.expect.classes)
    model_flops = plan.batch_size * flops.train_clip(
        run.model, run.objective, run.data.sample.frames, texts, expected.text_length(run)
    )
    content = {
        "topology": {
            "name": topology.name,
            "accelerator": topology.accelerator.name,
            "devices": mesh.size,
            "hosts": topology.hosts,
            "slices": len({sharding.slice_of(device) for device in topology.devices}),
            "mesh": dict(mesh.shape),
        },
        "batch": {
            "clips": plan.batch_size,
            "clips_per_device": plan.batch_size / sharding.batch_shards(mesh),
            "frames": run.data.sample.frames,
        },
        "compute": config.to_dict(run.compute),
        "loss": run.objective.loss,
        "loss_computation": run.objective.computation,
        "fits": compiled.fits,
        "memory": {**(compiled.memory or {}), "wanted": compiled.wanted, "available": topology.accelerator.memory},
        "flops": {
            "model": model_flops,
            "executed": compiled.executed,  # with what is computed again to save memory
        },
        "compile_seconds": compiled.seconds,
        "versions": versions(),
    }
    if compiled.program:
        content |= estimate(compiled, compiled.program, model_flops / mesh.size, utilisation)
    return content


def versions() -> dict[str, str]:
    """Of the compilers that are installed."""
    installed = {}
    for name in ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def estimate(
    compiled: compile.Compiled, program: hlo.Program, model_flops: float, utilisation: float
) -> dict[str, Any]:
    """How long a step would take, and what follows from that. `model_flops` are those of one device.

    The time to compute is that of TPU's compiler, which estimates the cycles of each operation but kernels, of which
    those count that were scheduled; for other devices what `utilisation` of the peak gives. Collectives are added, as
    if none of them were hidden behind computation.
    """
    plan = compiled.plan
    accelerator, mesh = plan.topology.accelerator, plan.mesh
    peak = accelerator.peak_in(plan.run.compute.dtype)
    seconds = {"floor": model_flops / peak, "assumed": compiled.executed / mesh.size / (peak * utilisation)}
    if program.cycles and accelerator.clock:
        seconds["compiler"] = program.cycles / accelerator.clock
    homes = [sharding.slice_of(device) for device in mesh.devices.flat]
    collectives = merge_collectives(program.collectives, accelerator, homes)
    seconds["collectives"] = sum(one["seconds"] for one in collectives)
    seconds["step"] = seconds.get("compiler", seconds["assumed"]) + seconds["collectives"]
    known = {"assumed_utilisation": utilisation, "seconds": seconds, "collectives": collectives}
    if "compiler" in seconds:
        known["breakdown"] = rows = breakdown.rows(program, accelerator)
        known["uncounted_kernels"] = program.uncounted
        if program.bundles:
            seconds["scheduled"] = sum(row["scheduled"] for row in rows)
    if not seconds["step"]:  # nothing is known of the device
        return known
    rate = plan.batch_size / seconds["step"]
    clip_count = plan.run.data.expect.clips
    steps, _ = optim.count_steps(plan.run.optim, clip_count, plan.batch_size)
    return known | {
        "model_flop_utilisation": seconds["floor"] / seconds["step"],
        "clips_per_second": rate,
        "epoch_seconds": clip_count / rate,
        "device_hours": steps * seconds["step"] * mesh.size / 3600,
        "input": describe_input(plan.run.data, rate / plan.topology.hosts),
    }


def merge_collectives(
    collectives: Sequence[hlo.Collective], accelerator: accelerators.Accelerator, homes: Sequence[int]
) -> list[dict[str, Any]]:
    """Collectives by kind and number of devices, with what each device sends in a step and how long that takes.

    `homes` are the slices, or hosts of GPUs, of the devices of the mesh: between these goes the network.
    """
    merged: dict[tuple, dict[str, Any]] = {}
    for one in collectives:
        sent = one.sent_bytes
        beyond = sent * share_beyond(one, homes)
        total = merged.setdefault(
            (one.kind, one.devices, beyond > 0),
            {
                "kind": one.kind,
                "devices": one.devices,
                "over": "network" if beyond else "links",
                "times": 0,
                "sent_bytes": 0.0,
                "seconds": 0.0,
            },
        )
        total["times"] += one.times
        total["sent_bytes"] += sent
        # both ways at once, but for TPU's transfers between slices, which take the network alone
        total["seconds"] += max(beyond / accelerator.network, 0 if one.between_slices else sent / accelerator.link)
    return sorted(merged.values(), key=lambda total: -total["sent_bytes"])


def share_beyond(one: hlo.Collective, homes: Sequence[int]) -> float:
    """The share of what a device sends that leaves its slice or host, where all devices use their network cards alike.

    Of a ring over hosts each has one link to the next, whose bytes all of its devices in the group carry together.
    """
    if one.between_slices:
        return 1.0
    groups = len({homes[place] for place in one.group})
    if groups == 1:
        return 0.0
    neighbours = one.devices / groups
    if one.kind == "all-to-all":
        return (one.devices - neighbours) / (one.devices - 1)
    return 1.0 if one.kind == "collective-permute" else 1 / neighbours


def describe_input(data: config.DataConfig, rate: float) -> dict[str, Any]:
    """What one host must deliver at so many clips/s, and the CPU cores that takes from each storage."""
    frames = data.sample.frames / 8
    augmenting = RAND_AUGMENT_SECONDS if data.augment.rand_operations else 0.0
    return {
        "clips_per_second_and_host": rate,
        "bytes_per_second_and_host": rate
        * config.clip_bytes(dataclasses.replace(data.sample, views_time=1, views_space=1)),
        "cores_per_host": {
            storage: rate * frames * (1 / clips + augmenting) for storage, clips in CLIPS_PER_CORE.items()
        },
    }
