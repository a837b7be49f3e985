"""Compiles the training step for hardware that is not here, from shapes alone."""

import dataclasses
import pathlib
import re
import time

import jax

from actionclip_jax import config, sharding, xla
from actionclip_jax.aot import hlo, schedule, topologies
from actionclip_jax.models import flops
from actionclip_jax.training import expected


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


def compile_plan(plan: Plan, schedules: pathlib.Path | None = None) -> Compiled:
    """Compiles the step that a training run makes, from shapes alone; reads its schedule if it is written there.

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
            seconds = time.perf_counter() - start
            return Compiled(plan, seconds=seconds, memory=None, wanted=wanted, program=None, executed=executed)
    memory = xla.memory_by_kind(step)
    if not memory:
        raise ValueError(f"the compiler of {plan.topology.name} does not say how much memory the step needs")
    program = hlo.Program(step.as_text())
    if schedules:
        program.bundles = schedule.take(schedules, program)
    wanted, seconds = sum(memory.values()), time.perf_counter() - start
    return Compiled(plan, seconds=seconds, memory=memory, wanted=wanted, program=program, executed=executed)


def trace_plan(plan: Plan) -> jax.stages.Traced:
    """The step of a plan, whose mesh is set. Raises ValueError like `expected.trace`."""
    return expected.trace(plan.run, plan.mesh)


def read_wanted(message: str) -> int | None:
    """The bytes a device would need, of the message that there are not so many; None of any other message."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    used = re.search(r"Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm", message)
    return int(float(used[1]) * units[used[2]]) if used and "RESOURCE_EXHAUSTED" in message else None
