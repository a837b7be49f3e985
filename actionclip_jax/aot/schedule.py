"""How many instructions TPU's compiler scheduled for each operation, from what it can write while it compiles.

A bundle is what a core issues at a time, one a cycle unless it has to wait. These counts leave waiting out, for memory
and for products under way: less time than that an operation cannot take. They are known of kernels as well.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Generator, Iterable

from actionclip_jax.aot import hlo

OPTIONS = "--xla_jf_dump_to={} --xla_jf_dump_llo_text=true --xla_jf_dump_llo_pass_label_regex=^final_bundles$"
FILE = re.compile(r"\d+-(.+)-\d+-final_bundles\.txt")
BUNDLE = re.compile(r" *(?:0x)?[0-9a-f]+ +([A-Z ]*): +((?:> )*)\{(\})?")  # address, label, a > for each loop around it
LOOP = "LB"
EXIT = re.compile(r"scmp\.ge\.s32\.totalorder [^,]+, (\d+) /\* loop exit test")


@dataclasses.dataclass
class Loop:
    """Bundles of a loop's body, those of loops in it included."""

    depth: int
    rounds: int = 1
    bundles: int = 0


@contextlib.contextmanager
def recorded(directory: pathlib.Path) -> Generator[None]:
    """Lets TPU's compiler write its schedules there if it is loaded meanwhile: libtpu reads its options once."""
    before = os.environ.get("LIBTPU_INIT_ARGS")
    os.environ["LIBTPU_INIT_ARGS"] = f"{before or ''} {OPTIONS.format(directory.absolute())}".strip()
    try:
        yield
    finally:
        del os.environ["LIBTPU_INIT_ARGS"]
        if before is not None:
            os.environ["LIBTPU_INIT_ARGS"] = before


def take(directory: pathlib.Path, program: hlo.Program) -> dict[str, int]:
    """Bundles of each operation of the program that was compiled last, by name; removes what was written."""
    written = {}
    for path in sorted(directory.glob("*")):
        if match := FILE.fullmatch(path.name):
            written[match[1]] = count(path.read_text(errors="replace").splitlines())
        path.unlink()
    # of operations that are alike it schedules one
    alike = {likeness(program, one): written[name] for name, one in program.instructions.items() if name in written}
    for name, one in program.instructions.items():
        takes_time = one.cycles or one.is_kernel
        if takes_time and name not in written and (bundles := alike.get(likeness(program, one))):
            written[name] = bundles
    return written


def likeness(program: hlo.Program, instruction: hlo.Instruction) -> tuple:
    """What operations that are alike share."""
    read = tuple(program.instructions[name].shape for name in instruction.operands if name in program.instructions)
    return instruction.operation, instruction.shape, instruction.cycles, read


def count(lines: Iterable[str]) -> int:
    """Bundles of one operation as often as its loops run; a loop whose end the compiler does not note counts once."""
    loops = [Loop(0)]
    depth = 0
    for line in lines:
        bundle = BUNDLE.match(line)
        if bundle is None:
            continue
        label, around, empty = bundle.groups()
        if label.strip() or not empty:  # empty bundles do not say where they are
            depth = around.count(">")
        while len(loops) > 1 and depth < loops[-1].depth + (LOOP in label):  # a loop may follow a loop
            leave(loops)
        if LOOP in label:
            loops.append(Loop(depth))
        loops[-1].bundles += 1
        if end := EXIT.search(line):
            loops[-1].rounds = int(end[1])
    while len(loops) > 1:
        leave(loops)
    return loops[0].bundles


def leave(loops: list[Loop]) -> None:
    """Adds the innermost loop, as often as it runs, to the one around it."""
    inner = loops.pop()
    loops[-1].bundles += inner.rounds * inner.bundles
