"""Where a compiled step spends its time: every instruction once, by part of the model, kind of work and pass."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

from actionclip_jax.aot import accelerators, hlo, products

PARTS = ("image", "text", "temporal", "loss", "optimizer", "color")  # scopes of the step; all else is "other"
PASSES = ("forward", "again", "backward", "outside")  # again: computed again to save memory; outside: of both passes
FREE = ("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "broadcast", "iota")
MOVES = ("copy", "transpose", "convert", "slice", "dynamic-slice", "dynamic-update-slice", "pad", "concatenate")
MOVES += ("reshape", "gather", "scatter", "reverse", "broadcast", "iota")
SLOW = ("exponential", "tanh", "logistic", "log", "power", "sqrt", "rsqrt", "divide", "erf", "sine", "cosine")
OF_BIASES = ("add", "reduce_sum")  # beside attention and activation, in the same scopes
# What weighs as much as one element of a sum: only to find the heaviest work of a fusion, not how long it takes
FLOPS_PER_ELEMENT = 32  # by the matrix units in the meantime
SLOW_WEIGHT = 4
LISTED = 0.05  # of a fusion's weight: the kinds of work that are named beside the heaviest


@dataclasses.dataclass(frozen=True)
class Work:
    """What an instruction is of."""

    part: str
    kind: str
    direction: str


@dataclasses.dataclass(frozen=True)
class Operation:
    """One instruction of the compiled step, as often as it runs."""

    name: str
    work: Work  # the heaviest in it
    fused: tuple[str, ...]  # kinds of other work in it
    cycles: int
    bundles: int
    flops: int


def rows(program: hlo.Program, accelerator: accelerators.Accelerator) -> list[dict[str, Any]]:
    """The cycles of a step by part, kind and pass, the most first, ready for JSON; they sum to `program.cycles`.

    `of_peak` is the share of the device's peak in bfloat16 that products reach in that time, whatever is fused in them;
    `scheduled` are the seconds of the instructions that were scheduled, where that is known.
    """
    grouped: dict[Work, list[Operation]] = {}
    for operation in operations(program):
        grouped.setdefault(operation.work, []).append(operation)
    found = []
    for work, group in grouped.items():
        cycles, bundles, flops = (sum(getattr(one, name) for one in group) for name in ("cycles", "bundles", "flops"))
        seconds = cycles / accelerator.clock
        of_peak = flops / seconds / accelerator.peak if seconds else 0.0
        fused: collections.Counter[str] = collections.Counter()
        for one in group:
            fused.update(dict.fromkeys(one.fused, one.cycles))
        names = {"part": work.part, "kind": work.kind, "pass": work.direction}
        amounts = {"cycles": cycles, "seconds": seconds, "flops": flops, "of_peak": of_peak}
        if program.bundles:
            amounts["scheduled"] = bundles / accelerator.clock
        found.append(names | amounts | {"fused": [kind for kind, _ in fused.most_common()]})
    return sorted(found, key=lambda row: -row["cycles"])


def operations(program: hlo.Program) -> list[Operation]:
    """All instructions of a step that take cycles."""
    return [
        describe(program, instruction, times)
        for instruction, times, fused in program.walk(program.entry)
        if not fused and (instruction.cycles or instruction.name in program.bundles)
    ]


def describe(program: hlo.Program, instruction: hlo.Instruction, times: int) -> Operation:
    """An instruction by the heaviest work in it."""
    weights: dict[Work, float] = collections.defaultdict(float)
    kinds: dict[str, float] = collections.defaultdict(float)
    flops = 0
    for member in members(program, instruction):
        count = products.count(program, member)
        flops += count
        scopes = member.scopes or instruction.scopes or scopes_of_source(program, member)
        work, weight = work_of(member, scopes), weigh(program, member, count)
        weights[work] += weight
        kinds[work.kind] += weight
    heaviest = max(weights, key=weights.__getitem__)
    listed = LISTED * sum(kinds.values())
    fused = tuple(kind for kind, weight in kinds.items() if kind != heaviest.kind and weight > listed)
    amounts = program.cycles_of(instruction), program.bundles.get(instruction.name, 0), flops
    return Operation(instruction.name, heaviest, fused, *(times * amount for amount in amounts))


def members(program: hlo.Program, instruction: hlo.Instruction) -> Iterator[hlo.Instruction]:
    """What a fusion is made of, or the instruction itself."""
    if instruction.operation != "fusion":
        yield instruction
        return
    for called in instruction.called:
        for member in program.computations.get(called, ()):
            yield from members(program, member)


def scopes_of_source(program: hlo.Program, instruction: hlo.Instruction) -> str:
    """Of what the compiler inserted, the scopes of what it reads: of a weight's conversion the weight's path."""
    while not instruction.scopes and instruction.operands:
        instruction = program.instructions[instruction.operands[0]]
    return instruction.scopes


def work_of(instruction: hlo.Instruction, scopes: str) -> Work:
    """The part, kind and pass of an instruction from its scopes, `jit(step)/transpose(jvp(image))/.../mlp/mul`."""
    part = next((word for word in re.findall(r"\w+", scopes) if word in PARTS), "other")
    if "rematted_computation" in scopes:
        direction = "again"
    elif "transpose(" in scopes:
        direction = "backward"
    else:
        direction = "forward" if "jvp(" in scopes else "outside"
    return Work(part, kind_of(instruction, scopes.split("/")), direction)


def kind_of(instruction: hlo.Instruction, scopes: list[str]) -> str:
    """The kind of work of an instruction in these scopes."""
    operation = instruction.operation
    started = operation.removesuffix("-start").removesuffix("-done")
    if started in hlo.COLLECTIVES:
        return "collective"
    if operation in ("dot", "convolution", "custom-call"):  # attention multiplies by einsum, or is a kernel
        einsum = "->" in "/".join(scopes) or operation == "custom-call"
        return "attention" if "attn" in scopes and einsum else "product" if operation != "custom-call" else "kernel"
    if started in MOVES:
        return "copy"
    for scope in ("norm", "optimizer"):
        if scope in scopes:
            return scope
    if scopes[-1] not in OF_BIASES:
        for scope, kind in (("attn", "attention"), ("mlp", "activation")):
            if scope in scopes:
                return kind
    return "rest"


def weigh(program: hlo.Program, instruction: hlo.Instruction, flops: int) -> float:
    """About how much work an instruction of so many FLOPs is, in elements of a sum."""
    if instruction.operation in FREE:
        return 0.0
    if flops:
        return flops / FLOPS_PER_ELEMENT
    read = [program.sizes(name) for name in instruction.operands]
    elements = sum(math.prod(sizes) for sizes in hlo.array_sizes(instruction.shape))
    if instruction.operation == "dynamic-update-slice":  # in place
        elements = math.prod(read[1])
    elif instruction.operation.startswith("reduce") and read:
        elements = math.prod(read[0])
    return elements * (SLOW_WEIGHT if instruction.operation in SLOW else 1)
