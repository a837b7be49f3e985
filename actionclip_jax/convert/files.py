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

from actionclip_jax import textfile
from actionclip_jax.convert import errors, limits, torchscript

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
# the file that holds the weights in a directory, best first
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
SIDE_FILES = ("config.json", "open_clip_config.json", "tokenizer.json", "tokenizer_config.json")


@dataclasses.dataclass
class Source:
    """What a checkpoint holds: nested dicts with numpy arrays at the leaves, and where they came from."""

    name: str  # as the user gave it
    path: pathlib.Path  # the weight file, or the index of several
    tree: dict[str, Any]
    side: dict[str, Any] = dataclasses.field(default_factory=dict)  # the JSON files beside the weights
    scripted: bool = False  # a TorchScript archive, as OpenAI publishes

    def sha256(self) -> str:
        """Digest of the weight files, in order."""
        digest = hashlib.sha256()
        for part in weight_parts(self.path):
            with part.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()


def read(name: str | os.PathLike) -> Source:
    """Reads a weight file, a directory holding one, or a hub repository.

    Raises:
        errors.CheckpointError: nothing there, not a checkpoint, damaged, or it would run code.
    """
    path = locate(str(name))
    source, parts = Source(str(name), path, {}), weight_parts(path)
    for part in parts:
        if part.suffix == ".safetensors":
            source.tree |= read_safetensors(part)
            continue
        if zipfile.is_zipfile(part):
            limits.check_archive(part)
        if torchscript.is_archive(part):
            source.tree |= torchscript.read(part)
            source.scripted = True
        else:
            source.tree |= read_torch(part)
    tensors = (tensor for _, tensor in flatten(source.tree))
    limits.check_amount(path, tensors, sum(part.stat().st_size for part in parts))
    for side in SIDE_FILES:
        if side.endswith("config.json") and (path.parent / side).is_file() and path.name in WEIGHT_FILES:
            source.side[side] = read_json(path.parent / side)
    return source


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = textfile.read_json(path)
    except (OSError, ValueError) as error:
        raise errors.CheckpointError(f"{path}: not readable JSON ({errors.first_line(error)})") from None
    if not isinstance(content, dict):
        raise errors.CheckpointError(f"{path}: holds a {type(content).__name__}, expected an object with names")
    return content


def locate(name: str) -> pathlib.Path:
    """The weight file meant by a file name, a directory or a hub repository `owner/name`."""
    path = pathlib.Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        for candidate in WEIGHT_FILES:
            if (path / candidate).is_file():
                return path / candidate
        raise errors.CheckpointError(f"{path}: no weights in this directory; expected one of {', '.join(WEIGHT_FILES)}")
    file_like = path.suffix in (*TORCH_SUFFIXES, ".safetensors", ".json")
    if len(path.parts) == 2 and not file_like and not path.is_absolute() and path.parts[0] not in (".", ".."):
        return locate(download(name))
    raise errors.CheckpointError(f"{name}: no such file or directory, and not a hub name of the form owner/name")


def download(repository: str) -> str:
    """The local copy of a Hugging Face hub repository: its best weight file and what goes with it."""
    import huggingface_hub
    from huggingface_hub import errors as hub

    unreachable = None

    def fetch(name: str) -> pathlib.Path | None:
        nonlocal unreachable
        try:  # without a connection, a copy fetched earlier serves
            return pathlib.Path(huggingface_hub.hf_hub_download(repository, name, local_files_only=bool(unreachable)))
        except hub.LocalEntryNotFoundError as error:
            unreachable = unreachable or error
        except hub.RemoteEntryNotFoundError:
            pass
        return None

    try:
        weights = next((path for path in map(fetch, WEIGHT_FILES) if path), None)
        if weights:
            shards = shard_names(weights) if weights.suffix == ".json" else []
            for name in (*SIDE_FILES, *shards):
                fetch(name)
            return str(weights.parent)
    except (hub.HfHubHTTPError, hub.HFValidationError) as error:
        unreachable = error
    if unreachable is None:
        raise errors.CheckpointError(f"{repository}: the hub repository holds none of {', '.join(WEIGHT_FILES)}")
    raise errors.CheckpointError(
        f"{repository}: no such file or directory here, and the hub did not give it "
        f"({errors.first_line(unreachable)}); download it where there is a network and give its directory"
    ) from None


def weight_parts(path: pathlib.Path) -> list[pathlib.Path]:
    """The files that together hold the weights: the file itself, or the shards of an index."""
    if path.suffix != ".json":
        return [path]
    parts = [path.parent / name for name in shard_names(path)]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise errors.CheckpointError(f"{path}: files named in the index are missing: {', '.join(missing)}")
    return parts


def shard_names(index: pathlib.Path) -> list[str]:
    """The files an index names, which must lie beside it."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        outside = [name for name in names if pathlib.PurePath(name).name != name]
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.CheckpointError(f"{index}: not an index of weights ({error!r})") from None
    if outside:
        raise errors.CheckpointError(f"{index}: the index names files outside its directory: {', '.join(outside)}")
    return names


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file; needs no PyTorch."""
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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


def arrays(value: Any, visited: Iterator[int] | None = None) -> Any:
    """Torch tensors anywhere inside dicts -> numpy arrays on the same memory, bfloat16 included."""
    import torch

    visited = visited or limits.entry_counter()
    next(visited)
    if isinstance(value, Mapping):
        return {str(key): arrays(item, visited) for key, item in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def dtype(name: str) -> np.dtype:
    """A dtype by name, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def check_suffix(path: pathlib.Path, nested: bool) -> None:
    """Raises errors.CheckpointError if `write` does not know the ending; safetensors files cannot nest dicts."""
    suffixes = TORCH_SUFFIXES if nested else (".safetensors", *TORCH_SUFFIXES)
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
