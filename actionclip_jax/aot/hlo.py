"""What a compiled program does, read from XLA's text of it: its collectives, and the cycles its compiler estimates."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

import numpy as np

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# What a device sends, for n devices and the bytes of the result: of the rings and exchanges that all libraries use.
SENT = {
    "all-reduce": lambda size, n: 2 * size * (n - 1) / n,
    "all-gather": lambda size, n: size * (n - 1) / n,
    "reduce-scatter": lambda size, n: size * (n - 1),  # the result is an n-th
    "all-to-all": lambda size, n: size * (n - 1) / n,
    "collective-permute": lambda size, n: size,
}
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4}
BYTES |= {"s64": 8, "u64": 8, "f64": 8}

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\) -> .* \{$")
INSTRUCTION = re.compile(r"^ +(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)")
SCOPES = re.compile(r'\bop_name="([^"]*)"')
SHAPE = re.compile(r"\b([a-z]+\d+|pred)\[([\d,]*)\]")
CALLED = re.compile(r"\b(?:calls|to_apply|body|condition|\w+_computation)=%?([\w.-]+)|\w+_computations=\{([^}]*)\}")
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
# Exchanges between TPU slices are transfers through the hosts, by "megascale", labelled with their kind
BETWEEN_SLICES = re.compile(r'_xla_megascale_target="\{([\d:,]+)\}.*_xla_megascale_transfer_type="(\w+)"')
KERNEL = 'custom_call_target="tpu_custom_call"'
CHANNEL = re.compile(r"channel_id=(\d+)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
COUNTER = re.compile(r"= s32\[\]\S* get-tuple-element\(.*\bindex=(\d+)")
CONSTANT = re.compile(r"s32\[\]\S* constant\((\d+)\)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between devices, as often as a step makes it."""

    kind: str
    result_bytes: int  # on each device
    group: tuple[int, ...]  # places in the mesh of a group of devices that exchange; of slices if between these
    times: int
    between_slices: bool = False

    @property
    def devices(self) -> int:
        """How many take part."""
        return len(self.group)

    @property
    def sent_bytes(self) -> float:
        """What each device sends in a step."""
        return self.times * SENT[self.kind](self.result_bytes, self.devices)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a computation."""

    name: str
    shape: str
    operation: str
    read: str  # between its brackets
    line: str

    @property
    def operands(self) -> list[str]:
        """Names of what it reads."""
        return re.findall(r"%([\w.-]+)", self.read)

    @property
    def scopes(self) -> str:
        """Where in the traced function it comes from; empty of what the compiler inserted."""
        return found[1] if (found := SCOPES.search(self.line)) else ""

    @property
    def cycles(self) -> int:
        """The cycles it takes each time it runs, as TPU's compiler estimates them."""
        return int(found[1]) if (found := CYCLES.search(self.line)) else 0

    @property
    def is_kernel(self) -> bool:
        """Whether it is one of Pallas, for which TPU's compiler estimates no cycles."""
        return KERNEL in self.line

    @property
    def called(self) -> list[str]:
        """Names of the computations it runs."""
        names = []
        for one, several in CALLED.findall(self.line):
            names += [one] if one else re.findall(r"[\w.-]+", several)
        return names


class Program:
    """The computations of a compiled step."""

    def __init__(self, text: str) -> None:
        self.bundles: dict[str, int] = {}  # by instruction, where its compiler's schedule is known: `schedule`
        self.computations: dict[str, list[Instruction]] = {}
        self.devices = max(int(number) for number in re.findall(r"num_partitions=(\d+)", text) or ["1"])
        for line in text.splitlines():
            if header := COMPUTATION.match(line):
                self.computations[header[2]] = current = []
                if header[1]:
                    self.entry = header[2]
            elif match := INSTRUCTION.match(line):
                current.append(Instruction(*match.groups(), line))

    def walk(self, name: str, times: int = 1, fused: bool = False) -> Iterator[tuple[Instruction, int, bool]]:
        """All instructions a computation comes to, with how often each runs and whether that is within a fusion."""
        for instruction in self.computations.get(name, ()):
            yield instruction, times, fused
            repeated = self.trips(instruction) if instruction.operation == "while" else 1
            for called in instruction.called:
                yield from self.walk(called, times * repeated, fused or instruction.operation == "fusion")

    def trips(self, loop: Instruction) -> int:
        """How often a loop runs: as XLA notes it or, where it does not, from its start to its condition's bound."""
        if known := TRIPS.search(loop.line):
            return int(known[1])
        condition = re.search(r"condition=%?([\w.-]+)", loop.line)
        compared = [inner for inner, *_ in self.walk(condition[1] if condition else "")]
        bounds = [int(constant[1]) for inner in compared if (constant := CONSTANT.search(inner.line))]
        return max(bounds, default=1) - self.start(loop, compared)

    def start(self, loop: Instruction, compared: list[Instruction]) -> int:
        """Where the counter of a loop starts, 0 unless it can be read: a loop whose first round was taken out, at 1."""
        counters = [COUNTER.search(inner.line) for inner in compared]
        places = [int(counter[1]) for counter in counters if counter]
        carried = self.instructions.get(loop.operands[0]) if loop.operands else None
        if len(places) != 1 or carried is None or carried.operation != "tuple":
            return 0
        value = self.instructions[carried.operands[places[0]]]
        while value.operation == "copy":
            value = self.instructions[value.operands[0]]
        return int(constant[1]) if (constant := CONSTANT.search(value.line)) else 0

    @functools.cached_property
    def collectives(self) -> list[Collective]:
        """Every collective once: TPU's compiler writes one that overlaps with fusions into each of these."""
        collectives = {}
        for instruction, times, fused in self.walk(self.entry):
            kind = instruction.operation.removesuffix("-start")
            if kind in COLLECTIVES:
                channel = CHANNEL.search(instruction.line)
                size, group = result_bytes(instruction), read_group(instruction.line, self.devices)
                key = (kind, size, channel[1]) if fused and channel else instruction.line
                collectives[key] = Collective(kind, size, group, times)
            elif kind == "recv" and (labels := BETWEEN_SLICES.search(instruction.line)):
                kind, slices = labels[2].lower().replace("_", "-"), tuple(range(count_numbers(labels[1])))
                kind = kind if kind in COLLECTIVES else "collective-permute"
                received = array_bytes(instruction.shape)[0]  # the result is (array, number of the transfer, token)
                collectives[instruction.line] = Collective(kind, received, slices, times, between_slices=True)
        return [one for one in collectives.values() if one.devices > 1]

    @functools.cached_property
    def cycles(self) -> int:
        """The cycles of a step as TPU's compiler estimates them, one operation after the other; 0 where it does not."""
        return sum(times * self.cycles_of(one) for one, times, fused in self.walk(self.entry) if not fused)

    def cycles_of(self, instruction: Instruction) -> int:
        """The compiler's estimate or, of a kernel (Pallas), for which it makes none, the bundles it scheduled."""
        if instruction.is_kernel and not instruction.cycles:
            return self.bundles.get(instruction.name, 0)
        return instruction.cycles

    @property
    def uncounted(self) -> int:
        """How many kernels a step runs of which neither is known."""
        walked = self.walk(self.entry)
        return sum(times for one, times, _ in walked if one.is_kernel and not self.cycles_of(one))

    @functools.cached_property
    def instructions(self) -> dict[str, Instruction]:
        """By name, of all computations."""
        return {one.name: one for computation in self.computations.values() for one in computation}

    def sizes(self, name: str) -> tuple[int, ...]:
        """Sizes of the array, or of the first of those, that this instruction makes."""
        return next(iter(array_sizes(self.instructions[name].shape)), ())


def array_sizes(shape: str) -> list[tuple[int, ...]]:
    """Sizes of each array that a shape names."""
    return [tuple(int(size) for size in sizes.split(",") if size) for _, sizes in SHAPE.findall(shape)]


def array_bytes(shape: str) -> list[int]:
    """Bytes of each array that a shape names."""
    return [
        BYTES.get(kind, 1) * math.prod(int(size) for size in sizes.split(",") if size)
        for kind, sizes in SHAPE.findall(shape)
    ]


def result_bytes(instruction: Instruction) -> int:
    """Bytes of the result on one device; an asynchronous start returns its operands as well."""
    sizes = array_bytes(instruction.shape)
    if instruction.operation == "collective-permute-start":
        return sizes[1]  # (operand, result), on some platforms with two numbers behind
    if instruction.operation.endswith("-start") and instruction.operation != "all-reduce-start":
        sizes = sizes[len(sizes) // 2 :]
    return sum(sizes)


def count_numbers(ranges: str) -> int:
    """How many numbers `1,2` or `1:4` is."""
    return sum(int(last or first) - int(first) + 1 for first, last in re.findall(r"(\d+)(?::(\d+))?", ranges))


def read_group(line: str, everyone: int) -> tuple[int, ...]:
    """The first group of devices that exchange with each other, in any of the ways XLA writes groups."""
    if axes := re.search(r"replica_groups=mesh\[(.*?)\] ?\{(.*?)\}", line):
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", axes[1])}
        inside = re.findall(r"'(\w+)'", axes[2])
        places = np.arange(math.prod(sizes.values())).reshape(tuple(sizes.values()))
        return tuple(places[tuple(slice(None) if name in inside else 0 for name in sizes)].ravel().tolist())
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", line):
        places = np.arange(everyone).reshape(numbers(iota[2]))
        return tuple(places.transpose(numbers(iota[3]) if iota[3] else None).ravel()[: int(iota[1])].tolist())
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", line):
        return tuple(sorted({int(place) for place in re.findall(r"\d+", pairs[1])}))
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return numbers(listed[1])
    return tuple(range(everyone))


def numbers(text: str) -> tuple[int, ...]:
    """`1,2` -> (1, 2)."""
    return tuple(int(number) for number in text.split(","))
