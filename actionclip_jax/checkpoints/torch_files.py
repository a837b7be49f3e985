"""Tensors out of, and into, the files PyTorch users have. Nothing in a file is ever executed."""

import dataclasses
import hashlib
import os
import pathlib
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from actionclip_jax import paths
from actionclip_jax.checkpoints import contents, errors, limits, locate, numpy_files, torchscript


@dataclasses.dataclass
class Source:
    """What a checkpoint holds: nested dicts with numpy arrays at the leaves, and where they came from."""

    name: str  # as the user gave it
    path: pathlib.Path  # the weight file, or the index of several
    tree: dict[str, Any]
    side: dict[str, Any] = dataclasses.field(default_factory=dict)  # the JSON files beside the weights
    passed_over: list[str] = dataclasses.field(default_factory=list)  # such files beside weights of another name
    other_weights: list[str] = dataclasses.field(default_factory=list)  # weight files of a directory that are not read
    activation: str | None = None  # by the code of a TorchScript archive

    def sha256(self) -> str:
        """Digest of the weight files, in order."""
        digest = hashlib.sha256()
        for part in locate.weight_parts(self.path):
            with part.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class TensorList:
    """Stands for a list of tensors, which no format has its model in: it is left out, and said to be."""


def read(name: str | os.PathLike) -> Source:
    """Reads a weight file, a directory holding one, or a hub repository.

    Raises:
        errors.CheckpointError: nothing there, not a checkpoint, damaged, or it would run code.
    """
    path = locate.locate(str(name))
    source, parts = Source(str(name), path, {}), locate.weight_parts(path)
    trees = {part.name: read_part(part, source) for part in parts}
    if path.suffix == ".json":
        check_index(path, trees)
    for tree in trees.values():
        source.tree |= tree
    tensors = (tensor for _, tensor in flatten(source.tree))
    limits.check_amount(path, tensors, sum(part.stat().st_size for part in parts))
    beside = [name for name in locate.SETTING_FILES if (path.parent / name).is_file()]
    if path.name in locate.WEIGHT_FILES:
        source.side = {name: locate.read_json(path.parent / name) for name in beside}
    else:
        source.passed_over = beside
    if path != paths.expand_home(str(name)):  # a directory or a repository: which of its files was not the user's word
        others = {entry.name for entry in path.parent.iterdir() if locate.may_hold_weights(entry)}
        source.other_weights = sorted(others - {path.name, *trees})
    return source


def read_part(path: pathlib.Path, source: Source) -> dict[str, Any]:
    """The tensors of one weight file, whose code may tell the source its activation."""
    contents.check(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == numpy_files.ENDING:
        return numpy_files.read(path)
    if zipfile.is_zipfile(path):
        limits.check_archive(path)
    if torchscript.is_archive(path):
        source.activation = torchscript.read_activation(path)
        return torchscript.read(path)
    return read_torch(path)


def check_index(path: pathlib.Path, trees: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises CheckpointError unless each tensor is in one file, which is the one that the index at `path` names."""
    holders: dict[str, list[str]] = {}
    for file, tree in trees.items():
        for name in tree:
            holders.setdefault(name, []).append(file)
    index = locate.read_json(path)["weight_map"]
    problems = [f"{name!r} is in {' and '.join(files)}" for name, files in sorted(holders.items()) if len(files) > 1]
    problems += [
        f"{name!r} is in {' and '.join(holders.get(name, ['none of them']))}, the index says {file}"
        for name, file in sorted(index.items())
        if holders.get(name, []) != [file] and len(holders.get(name, [])) < 2
    ]
    if problems:
        raise errors.CheckpointError("\n  ".join([f"{path}: the index and its files do not fit together:", *problems]))


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file; needs no PyTorch."""
    try:
        return safetensors.numpy.load_file(path)
    except AttributeError as error:  # a kind of number that NumPy has not
        raise errors.CheckpointError(
            f"{path}: holds {error.name} numbers: save it in dense float16 or float32"
        ) from None
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise errors.CheckpointError(
            f"{path}: not a readable safetensors file, or cut short ({errors.first_line(error)})"
        ) from None


def read_torch(path: pathlib.Path) -> dict[str, Any]:
    """A file written by torch.save, read with `weights_only=True`: tensors become arrays, the rest stays as it is."""
    try:
        import torch
    except ImportError:
        raise errors.CheckpointError(
            f"{path}: reading {path.suffix} files needs PyTorch: pip install 'actionclip-jax[torch]' "
            "(safetensors files and OpenAI's own archives need none)"
        ) from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if isinstance(loaded, Mapping):
            return arrays(loaded)
    except errors.CheckpointError as error:
        raise errors.CheckpointError(f"{path}: {error}") from None
    except pickle.UnpicklingError as error:
        errors.refuse(path, str(error))
    except Exception as error:  # of damaged files PyTorch raises anything, struct.error and AssertionError among it
        raise errors.CheckpointError(
            f"{path}: not a readable PyTorch file, or cut short ({errors.first_line(error)})"
        ) from None
    raise errors.CheckpointError(f"{path}: holds a {type(loaded).__name__}, expected a dictionary of tensors")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of every array in nested dicts, levels joined by `/`."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}/")
        elif isinstance(value, np.ndarray):
            yield f"{prefix}{key}", value


def tensor_lists(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of all lists of tensors in nested dicts, as `flatten` joins them."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from tensor_lists(value, f"{prefix}{key}/")
        elif isinstance(value, TensorList):
            yield f"{prefix}{key}"


def arrays(value: Any, visited: Iterator[int] | None = None) -> Any:
    """Torch tensors anywhere inside dicts -> numpy arrays on the same memory, bfloat16 included."""
    import torch

    visited = visited or limits.entry_counter()
    next(visited)
    if isinstance(value, Mapping):
        return {str(key): arrays(item, visited) for key, item in value.items()}
    if isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor) for item in value):
        return TensorList()
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    try:
        return value.numpy()
    except (TypeError, RuntimeError):  # 8 bit floating point, quantised, sparse, without a storage
        kind = str(value.dtype if value.layout == torch.strided else value.layout).removeprefix("torch.")
        raise errors.CheckpointError(f"holds {kind} numbers: save it in dense float16 or float32") from None


def dtype(name: str) -> np.dtype:
    """A dtype by name, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def check_suffix(path: pathlib.Path, nested: bool) -> None:
    """Raises errors.CheckpointError if `write` does not know the ending; safetensors files cannot nest dicts."""
    suffixes = locate.TORCH_SUFFIXES if nested else (".safetensors", *locate.TORCH_SUFFIXES)
    if path.suffix not in suffixes:
        raise errors.CheckpointError(f"{path}: expected a name ending in {', '.join(suffixes)}")


def write(path: pathlib.Path, tree: Mapping[str, Any]) -> None:
    """Writes arrays as safetensors or, for PyTorch's suffixes, with torch.save (which also takes nested dicts)."""
    check_suffix(path, nested=any(isinstance(value, Mapping) for value in tree.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        contiguous = {name: np.asarray(array, order="C") for name, array in tree.items()}
        safetensors.numpy.save_file(contiguous, path, metadata={"format": "pt"})
        return
    try:
        import torch
    except ImportError:
        raise errors.CheckpointError(f"{path}: writing it needs PyTorch: pip install 'actionclip-jax[torch]'") from None
    torch.save(tensors(tree), path)


def tensors(value: Any) -> Any:
    """The inverse of `arrays`."""
    import torch

    if isinstance(value, Mapping):
        return {name: tensors(item) for name, item in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(value.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(value))
