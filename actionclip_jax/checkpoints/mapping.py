"""PyTorch's tensors made parameters, and back, by rows that say which is which."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from actionclip_jax.checkpoints import errors


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the tensors of one row (usually one) become a parameter, and back. Neither rounds anything."""

    to_ours: Callable[..., np.ndarray]
    to_torch: Callable[[np.ndarray], tuple[np.ndarray, ...]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One parameter. With a depth, `{i}` in the names counts layers, stacked on a leading axis of the parameter."""

    path: str
    names: tuple[str, ...]
    layout: Layout
    depth: int | None = None

    def layers(self) -> list[tuple[tuple[int, ...], list[str]]]:
        """(index into the parameter, tensor names) for each layer; the index is () without layers."""
        if self.depth is None:
            return [((), list(self.names))]
        return [((i,), [name.format(i=i) for name in self.names]) for i in range(self.depth)]


def to_params(
    rows: Sequence[Row], shapes: Mapping[str, tuple[int, ...]], tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Tensors by name -> float32 parameters by path. Tensors are dropped as they are used, so memory stays at one copy.

    Raises:
        CheckpointError: tensors missing, left over, misshapen or not finite, or parameters nothing fills; all listed.
    """
    wanted, given = sum(map(math.prod, shapes.values())), sum(tensor.size for tensor in tensors.values())
    if wanted > 2 * given:  # empty tensors, say, whose shapes promise layers of any width: nothing to allocate for
        raise errors.CheckpointError(f"the checkpoint holds {given} numbers, and the model it describes has {wanted}")
    problems = [f"nothing fills {path!r}" for path in sorted(set(shapes) - {row.path for row in rows})]
    params = {}
    for row in rows:
        param = params[row.path] = np.empty(shapes[row.path], np.float32)
        for index, names in row.layers():
            if missing := [name for name in names if name not in tensors]:
                problems += [f"{name!r} is missing" for name in missing]
                continue
            parts = [tensors.pop(name) for name in names]
            # what to_torch makes of the parameter is the only shape to accept: reshapes would hide others
            shapes_wanted = [part.shape for part in row.layout.to_torch(param[index])]
            if wrong := list(filter(None, map(tensor_problem, names, parts, shapes_wanted))):
                problems += wrong
            else:
                param[index] = row.layout.to_ours(*parts)
    problems += [f"{name!r} is not a part of this model" for name in sorted(tensors)]
    if problems:
        raise errors.CheckpointError("\n  ".join(["the checkpoint does not fit the model:", *problems]))
    return params


def tensor_problem(name: str, tensor: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """Why a tensor cannot be taken for floating point numbers of that shape; None if it can."""
    if tensor.shape != shape:
        return f"{name!r} has shape {tensor.shape}, expected {shape}"
    if tensor.dtype.kind in "biuc":
        return f"{name!r} holds {tensor.dtype} numbers, expected real floating point"
    with np.errstate(over="ignore"):  # float64 beyond float32 counts as infinite
        wrong = tensor.size - np.count_nonzero(np.isfinite(tensor.astype(np.float32, copy=False)))
    if wrong:
        return (
            f"{name!r} holds numbers that are not finite ({wrong} of {tensor.size}): the training diverged, or the "
            "file is damaged"
        )
    return None


def to_tensors(rows: Sequence[Row], params: Mapping[str, np.ndarray | jax.Array]) -> dict[str, np.ndarray]:
    """Parameters by path -> float32 tensors by name, in the order of the rows."""
    tensors = {}
    for row in rows:
        for index, names in row.layers():
            tensors |= zip(names, row.layout.to_torch(np.asarray(params[row.path])[*index, ...]), strict=True)
    return tensors
