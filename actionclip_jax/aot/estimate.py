"""Compiles the training step for hardware that is not here, and says what it needs and about how fast it would be."""

import contextlib
import dataclasses
import importlib.metadata
import re
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from actionclip_jax import config, sharding, text, xla
from actionclip_jax.aot import hlo, topologies
from actionclip_jax.models import action_clip, flops
from actionclip_jax.training import first_state, optim, setup, train_step

# Training clips/s that a CPU core reads from each storage, 8 frames: benchmarks/data.py, docs/performance.md.
CLIPS_PER_CORE = {
    "prepare --storage jpeg": 168.0,
    "prepare --storage video": 124.0,
    "video files, a keyframe every 12 frames": 25.0,
    "video files, a keyframe every 250 frames": 10.0,
}
RAND_AUGMENT_SECONDS = 1 / 85 - 1 / 168  # what it adds to a clip of 8 frames
UTILISATION = 0.4  # of the peak; published training of this size reached 0.13 to 0.16


@dataclasses.dataclass(frozen=True)
class Plan:
    """A step to be compiled: of which run, and on what."""

    run: config.TrainConfig
    topology: topologies.Topology

    @property
    def mesh(self) -> jax.sharding.Mesh:
        """The mesh the run would have."""
        return sharding.make_mesh(self.topology.devices, fsdp=self.run.sharding.fsdp, model=self.run.sharding.model)

    @property
    def batch_size(self) -> int:
        """Clips of the global batch."""
        return self.run.data.loader.batch_size


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler made of a plan."""

    plan: Plan
    seconds: float  # that it took
    memory: dict[str, int] | None  # bytes on each device by kind; None where it gave up for want of memory
    wanted: int  # bytes on each device altogether
    program: hlo.Program | None
    executed: int  # FLOPs of all devices in a step

    @property
    def fits(self) -> bool:
        """Whether a device has that much memory."""
        return self.memory is not None and self.wanted <= self.plan.topology.accelerator.memory


def compile_plan(plan: Plan) -> Compiled:
    """Compiles the function that train.py runs, from shapes alone.

    Raises ValueError like `trace_plan`, and where the compiler refuses the step for another reason than its memory.
    """
    start = time.perf_counter()
    with jax.set_mesh(plan.mesh):
        traced = trace_plan(plan)
        executed = flops.executed(traced.jaxpr.jaxpr)
        try:
            step = traced.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            wanted = read_wanted(str(error))
            if wanted is None:
                raise ValueError(f"the compiler of {plan.topology.name} refuses the step: {error}") from error
            return Compiled(plan, time.perf_counter() - start, None, wanted, None, executed)
    memory = xla.memory_by_kind(step)
    if not memory:
        raise ValueError(f"the compiler of {plan.topology.name} does not say how much memory the step needs")
    program = hlo.Program(step.as_text())
    return Compiled(plan, time.perf_counter() - start, memory, sum(memory.values()), program, executed)


def trace_plan(plan: Plan) -> jax.stages.Traced:
    """The step of a plan, whose mesh is set.

    Raises:
        ValueError: the model or the batch cannot be spread over the devices in this way, or the configuration does not
            say how large the training set is.
    """
    run, mesh, expected = plan.run, plan.mesh, plan.run.data.expect
    for name in ("clips", "classes"):
        if not getattr(expected, name):
            raise ValueError(
                f"data.expect.{name} is 0: say how many the training set has (--config.data.expect.{name}=N)"
            )
    if plan.batch_size % run.optim.accumulate:
        raise ValueError(
            f"{plan.batch_size} clips cannot be divided into optim.accumulate = {run.optim.accumulate} parts"
        )
    sharding.check_rows(plan.batch_size // run.optim.accumulate, mesh)
    spec = setup.step_spec(run, expected.clips, label_frequency=1 / expected.classes)
    state, texts = describe_state(spec, mesh), describe_texts(run, mesh)
    return train_step.trace_step(spec, mesh, state, texts, run.data.sample, plan.batch_size)


def describe_state(spec: train_step.StepSpec, mesh: jax.sharding.Mesh) -> train_step.TrainState:
    """Shapes and places of the state of a run that starts from a CLIP."""
    shapes = action_clip.param_shapes(spec.model)
    places = sharding.param_shardings(shapes, mesh)
    params = {path: jax.ShapeDtypeStruct(shape, np.float32, sharding=places[path]) for path, shape in shapes.items()}
    loaded = [path for path in params if not path.startswith("temporal/")]
    return first_state.describe(spec, params, loaded, places, mesh)


def describe_texts(run: config.TrainConfig, mesh: jax.sharding.Mesh) -> jax.ShapeDtypeStruct:
    """Shape and place of all prompts or, of a frozen text tower, of their embeddings."""
    prompts = (run.data.expect.classes, len(text.load_templates(run.objective.templates)))
    everywhere = sharding.everywhere(mesh)
    if run.objective.text == "frozen":
        return jax.ShapeDtypeStruct((*prompts, run.model.embed_width), np.float32, sharding=everywhere)
    return jax.ShapeDtypeStruct((*prompts, text_length(run)), np.int32, sharding=everywhere)


def text_length(run: config.TrainConfig) -> int:
    """Tokens of a prompt, of which the text tower takes no more than its context."""
    return min(run.data.expect.text_tokens, run.model.text.context)


def read_wanted(message: str) -> int | None:
    """The bytes a device would need, of the message that there are not so many; None of any other message."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    found = re.search(r"Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm", message)
    return int(float(found[1]) * units[found[2]]) if found and "RESOURCE_EXHAUSTED" in message else None


def report(compiled: Compiled, utilisation: float = UTILISATION) -> dict[str, Any]:
    """All that is known and estimated of a step, ready for JSON. Times are in seconds, sizes in bytes."""
    plan = compiled.plan
    run, topology, mesh = plan.run, plan.topology, plan.mesh
    texts = setup.texts_per_clip(run, run.data.expect.classes)
    model_flops = plan.batch_size * flops.train_clip(
        run.model, run.objective, run.data.sample.frames, texts, text_length(run)
    )
    found = {
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
            "clips_per_device": plan.batch_size / sharding.count_shares(mesh),
            "frames": run.data.sample.frames,
        },
        "compute": config.to_dict(run.compute),
        "loss": run.objective.loss,
        "loss_computation": run.objective.computation,
        "fits": compiled.fits,
        "memory": {
            **(compiled.memory or {}),
            "wanted": compiled.wanted,
            "available": topology.accelerator.memory,
        },
        "flops": {
            "model": model_flops,
            "executed": compiled.executed,  # with what is computed again to save memory
        },
        "compile_seconds": compiled.seconds,
        "versions": versions(),
    }
    if compiled.program:
        found |= estimate(compiled, model_flops / mesh.size, utilisation)
    return found


def versions() -> dict[str, str]:
    """Of the compilers that are installed."""
    found = {}
    for name in ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def estimate(compiled: Compiled, model_flops: float, utilisation: float) -> dict[str, Any]:
    """How long a step would take, and what follows from that. `model_flops` are those of one device.

    The time to compute is that of TPU's compiler, which counts the cycles of each operation; for other devices what
    `utilisation` of the peak gives. Collectives are added, as if none of them were hidden behind computation.
    """
    plan, program = compiled.plan, compiled.program
    accelerator, mesh = plan.topology.accelerator, plan.mesh
    peak = accelerator.peak_in(plan.run.compute.dtype)
    seconds = {
        "floor": model_flops / peak,
        "assumed": compiled.executed / mesh.size / (peak * utilisation),
    }
    if program.cycles and accelerator.clock:
        seconds["compiler"] = program.cycles / accelerator.clock
    homes = [sharding.slice_of(device) for device in mesh.devices.flat]
    collectives = merge_collectives(program.collectives, accelerator, homes)
    seconds["collectives"] = sum(one["seconds"] for one in collectives)
    seconds["step"] = seconds.get("compiler", seconds["assumed"]) + seconds["collectives"]
    found = {"assumed_utilisation": utilisation, "seconds": seconds, "collectives": collectives}
    if not seconds["step"]:  # nothing is known of the device
        return found
    rate = plan.batch_size / seconds["step"]
    clips = plan.run.data.expect.clips
    steps, _ = optim.count_steps(plan.run.optim, clips, plan.batch_size)
    found["model_flop_utilisation"] = seconds["floor"] / seconds["step"]
    found["clips_per_second"] = rate
    found["epoch_seconds"] = clips / rate
    found["device_hours"] = steps * seconds["step"] * mesh.size / 3600
    found["input"] = describe_input(plan.run.data, rate / plan.topology.hosts)
    return found


def merge_collectives(
    collectives: Sequence[hlo.Collective], accelerator: topologies.Accelerator, homes: Sequence[int]
) -> list[dict[str, Any]]:
    """Collectives by kind and number of devices, with what each device sends in a step and how long that takes.

    `homes` are the slices, or hosts of GPUs, of the devices of the mesh: between these goes the network.
    """
    merged: dict[tuple, dict[str, Any]] = {}
    for one in collectives:
        sent = one.sent_bytes
        beyond = sent * share_beyond(one, homes)
        found = merged.setdefault(
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
        found["times"] += one.times
        found["sent_bytes"] += sent
        # both ways at once, but for TPU's transfers between slices, which take the network alone
        found["seconds"] += max(beyond / accelerator.network, 0 if one.between_slices else sent / accelerator.link)
    return sorted(merged.values(), key=lambda found: -found["sent_bytes"])


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
