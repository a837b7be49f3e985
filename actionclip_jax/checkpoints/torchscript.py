"""Parameters out of a TorchScript archive, as OpenAI publishes CLIP, without PyTorch and without running anything."""

import contextlib
import io
import math
import pathlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from actionclip_jax.checkpoints import errors, limits

SCRIPTS, SCRIPT_BYTES = 100, 1 << 20  # of an archive's code that are looked at: OpenAI's has 20 small files


def is_archive(path: pathlib.Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with a `code` folder."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The parameters and buffers of a TorchScript archive, named as in its state dict. No PyTorch, and no code is run:
    the unpickler knows tensors and plain containers, and takes every scripted class for a bag of attributes."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if "/code/" in name).split("/")[0]
            pickled = stored_bytes(archive, f"{root}/data.pkl", limits.PICKLE_BYTES)
            limits.check_pickle(pickled)
            module = ScriptUnpickler(io.BytesIO(pickled), path, archive, root).load()
            return dict(named_tensors(module, limits.entry_counter()))
    except errors.CheckpointError:
        raise
    except errors.UNREADABLE as error:
        raise errors.CheckpointError(
            f"{path}: not a readable TorchScript archive ({errors.first_line(error)})"
        ) from None


def read_activation(path: pathlib.Path) -> str | None:
    """The activation that an archive's code computes, which is looked at as text: gelu, quick_gelu, or neither."""
    code = b""
    with contextlib.suppress(*errors.UNREADABLE), zipfile.ZipFile(path) as archive:
        for name in [name for name in archive.namelist() if "/code/" in name and name.endswith(".py")][:SCRIPTS]:
            with archive.open(name) as script:
                code += script.read(SCRIPT_BYTES)
    if re.search(rb"\bgelu\(", code):
        return "gelu"
    return "quick_gelu" if re.search(rb"\bsigmoid\(", code) else None


def stored_bytes(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """An entry of an archive."""
    entry = archive.getinfo(name)
    if entry.file_size > limit:
        raise errors.CheckpointError(f"{archive.filename}: the entry {name} is larger than {limit} bytes")
    return archive.read(entry)


class ScriptModule:
    """Stands for any scripted class: takes the attributes, does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


def named_tensors(value: Any, visited: Iterator[int], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(dotted name, array) of every tensor below a module."""
    next(visited)
    if isinstance(value, np.ndarray):
        yield prefix, value
    elif isinstance(value, ScriptModule):
        for name, item in vars(value).get("attributes", {}).items():
            yield from named_tensors(item, visited, f"{prefix}.{name}" if prefix else str(name))


STORAGES = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}


class ScriptUnpickler(pickle.Unpickler):
    """Reads `data.pkl` of a TorchScript archive into numpy arrays."""

    def __init__(self, file: Any, path: pathlib.Path, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self.path, self.archive, self.root = path, archive, root
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Only what tensors are made of; anything else is refused by name."""
        if module.startswith("__torch__"):
            return ScriptModule
        known: dict[tuple[str, str], Callable] = {
            # lambdas made here: a pickle may set attributes of what it gets
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: rebuild_tensor(*parts),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *rest: tensor,
            ("collections", "OrderedDict"): dict,
        }
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch.jit._pickle":  # build_intlist and its kin
            return lambda values, *rest: values
        if (module, name) not in known:
            errors.refuse(self.path, f"Unsupported global {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        """A storage of the archive as a flat array."""
        _, dtype, key, _, count = pid
        if dtype not in STORAGES.values():
            raise ValueError(f"a storage of {dtype!r}")
        if key not in self.storages:
            folder = "data" if f"{self.root}/data/{key}" in self.archive.namelist() else "constants"
            size = count * np.dtype(dtype).itemsize
            self.storages[key] = np.frombuffer(stored_bytes(self.archive, f"{self.root}/{folder}/{key}", size), dtype)
        return self.storages[key]


def rebuild_tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *rest: Any) -> np.ndarray:
    """The view of a storage that a tensor is; a view that leaves its storage is refused."""
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    if offset < 0 or min((0, *strides)) < 0 or min((1, *shape)) < 0 or max(last + 1, math.prod(shape)) > storage.size:
        raise ValueError(f"a tensor of shape {shape} does not fit its storage of {storage.size} elements")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
