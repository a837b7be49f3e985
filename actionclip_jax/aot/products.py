"""FLOPs of the matrix products of a compiled program. TPU's compiler writes them all as convolutions."""

import math
import re

import numpy as np

from actionclip_jax.aot import hlo

WINDOW = re.compile(r"\bwindow=\{([^}]*)\}")
LABELS = re.compile(r"\bdim_labels=(\w+)_(\w+)->(\w+)")
CONTRACTED = re.compile(r"\blhs_contracting_dims=\{([\d,]+)\}")


def count(program: hlo.Program, instruction: hlo.Instruction) -> int:
    """FLOPs of an instruction each time it runs; 0 if it is no product."""
    if instruction.operation not in ("dot", "convolution"):
        return 0
    left, right = (program.sizes(name) for name in instruction.operands[:2])
    (result,) = hlo.array_sizes(instruction.shape)
    if instruction.operation == "convolution":
        return convolution(instruction.line, left, right, result)
    contracted = CONTRACTED.search(instruction.line)
    return 2 * math.prod(result) * math.prod(left[axis] for axis in hlo.numbers(contracted[1])) if contracted else 0


def convolution(line: str, left: tuple[int, ...], right: tuple[int, ...], result: tuple[int, ...]) -> int:
    """FLOPs of a convolution, without those of windows' places that lie on padding or between elements.

    So are axes of a batch or of heads written: each of their windows meets one element.
    """
    labels, window = LABELS.search(line), WINDOW.search(line)
    if labels is None:
        raise ValueError(f"a convolution without dim_labels: {line}")
    settings = dict(one.split("=") for one in window[1].split()) if window else {}
    places = 2 * math.prod(result[labels[3].index(label)] for label in "bf") * right[labels[2].index("i")]
    for axis in filter(str.isdigit, labels[3]):
        along = {name: value.split("x")[int(axis)] for name, value in settings.items()}
        sizes = (shape[names.index(axis)] for shape, names in zip((left, right, result), labels.groups(), strict=True))
        places *= count_meetings(*sizes, **along)
    return places


def count_meetings(
    left: int,
    window: int,
    result: int,
    *,
    stride: str = "1",
    pad: str = "0_0",
    lhs_dilate: str = "1",
    rhs_dilate: str = "1",
    **_: str,
) -> int:
    """How often, along one axis, a place of the window meets an element of `left`, in all results together."""
    starts, steps = np.arange(result) * int(stride), np.arange(window) * int(rhs_dilate)
    places = starts[:, None] + steps - int(pad.split("_")[0])
    real = (places >= 0) & (places % int(lhs_dilate) == 0) & (places // int(lhs_dilate) < left)
    return int(real.sum())
