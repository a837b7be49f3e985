"""Tensors out of, and into, the files PyTorch users have. Nothing in a file is ever executed."""

import dataclasses
import hashlib
import io
import json
import math
import os
import pathlib
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

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


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says why and what to do."""


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
        CheckpointError: nothing there, not a checkpoint, damaged, or it would run code.
    """
    path = locate(str(name))
    source = Source(str(name), path, {})
    for part in weight_parts(path):
        if part.suffix == ".safetensors":
            source.tree |= read_safetensors(part)
        elif is_torchscript(part):
            source.tree |= read_torchscript(part)
            source.scripted = True
        else:
            source.tree |= read_torch(part)
    for side in SIDE_FILES:
        if side.endswith("config.json") and (path.parent / side).is_file() and path.name in WEIGHT_FILES:
            source.side[side] = read_json(path.parent / side)
    return source


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable JSON ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected an object with names")
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
        raise CheckpointError(f"{path}: no weights in this directory; expected one of {', '.join(WEIGHT_FILES)}")
    file_like = path.suffix in (*TORCH_SUFFIXES, ".safetensors", ".json")
    if len(path.parts) == 2 and not file_like and not path.is_absolute() and path.parts[0] not in (".", ".."):
        return locate(download(name))
    raise CheckpointError(f"{name}: no such file or directory, and not a hub name of the form owner/name")


def download(repository: str) -> str:
    """The local copy of a Hugging Face hub repository: its best weight file and what goes with it."""
    import huggingface_hub
    from huggingface_hub import errors

    unreachable = None

    def fetch(name: str) -> pathlib.Path | None:
        nonlocal unreachable
        try:  # without a connection, a copy fetched earlier serves
            return pathlib.Path(huggingface_hub.hf_hub_download(repository, name, local_files_only=bool(unreachable)))
        except errors.LocalEntryNotFoundError as error:
            unreachable = unreachable or error
        except errors.RemoteEntryNotFoundError:
            pass
        return None

    try:
        weights = next((path for path in map(fetch, WEIGHT_FILES) if path), None)
        if weights:
            shards = shard_names(weights) if weights.suffix == ".json" else []
            for name in (*SIDE_FILES, *shards):
                fetch(name)
            return str(weights.parent)
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        unreachable = error
    if unreachable is None:
        raise CheckpointError(f"{repository}: the hub repository holds none of {', '.join(WEIGHT_FILES)}")
    raise CheckpointError(
        f"{repository}: no such file or directory here, and the hub did not give it ({first_line(unreachable)}); "
        "download it where there is a network and give its directory"
    ) from None


def weight_parts(path: pathlib.Path) -> list[pathlib.Path]:
    """The files that together hold the weights: the file itself, or the shards of an index."""
    if path.suffix != ".json":
        return [path]
    parts = [path.parent / name for name in shard_names(path)]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise CheckpointError(f"{path}: files named in the index are missing: {', '.join(missing)}")
    return parts


def shard_names(index: pathlib.Path) -> list[str]:
    """The files an index names, which must lie beside it."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        outside = [name for name in names if pathlib.PurePath(name).name != name]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of weights ({error!r})") from None
    if outside:
        raise CheckpointError(f"{index}: the index names files outside its directory: {', '.join(outside)}")
    return names


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file; needs no PyTorch."""
    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file, or cut short ({first_line(error)})") from None


def read_torch(path: pathlib.Path) -> dict[str, Any]:
    """A file written by torch.save, read with `weights_only=True`: tensors become arrays, the rest stays as it is."""
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path}: reading {path.suffix} files needs PyTorch: pip install 'actionclip-jax[torch]' "
            "(safetensors files and OpenAI's own archives need none)"
        ) from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if isinstance(loaded, Mapping):
            return arrays(loaded)
    except pickle.UnpicklingError as error:
        refuse(path, str(error))
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: not a readable PyTorch file, or cut short ({first_line(error)})") from None
    raise CheckpointError(f"{path}: holds a {type(loaded).__name__}, expected a dictionary of tensors")


# what reading a damaged or hostile pickle or archive can raise, RecursionError being a RuntimeError
UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    StopIteration,
)


def refuse(path: pathlib.Path, reason: str) -> NoReturn:
    """Explains why a pickle was not loaded."""
    names = [line.strip() for line in reason.splitlines() if "GLOBAL" in line or "Unsupported" in line]
    raise CheckpointError(
        f"{path}: refused: loading it could run code from the file ({names[0] if names else first_line(reason)}). "
        "Save only the tensors again, torch.save(model.state_dict(), ...), with the code that made the file"
    ) from None


def first_line(error: object) -> str:
    """The first line of a message; PyTorch's go on for pages."""
    line = (str(error).strip().splitlines() or [""])[0]
    return line if " " in line else f"{type(error).__name__} {line}".strip()  # a bare KeyError says nothing


def arrays(value: Any) -> Any:
    """Torch tensors anywhere inside dicts -> numpy arrays on the same memory, bfloat16 included."""
    import torch

    if isinstance(value, Mapping):
        return {str(key): arrays(item) for key, item in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def dtype(name: str) -> np.dtype:
    """A dtype by name, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def is_torchscript(path: pathlib.Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with a `code` folder."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: not a readable archive, or cut short ({first_line(error)})") from None


def read_torchscript(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The parameters and buffers of a TorchScript archive, named as in its state dict. No PyTorch, and no code is run:
    the unpickler knows tensors and plain containers, and takes every scripted class for a bag of attributes."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if "/code/" in name).split("/")[0]
            pickled = io.BytesIO(stored_bytes(archive, f"{root}/data.pkl", limit=1 << 26))
            return dict(named_tensors(ScriptUnpickler(pickled, path, archive, root).load()))
    except CheckpointError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: not a readable TorchScript archive ({first_line(error)})") from None


def stored_bytes(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """An entry of an archive, which must be stored as it is (compressed, a small file could fill the memory)."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise CheckpointError(f"{archive.filename}: the entry {name} is compressed or larger than {limit} bytes")
    return archive.read(entry)


class ScriptModule:
    """Stands for any scripted class: takes the attributes, does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state


def named_tensors(value: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(dotted name, array) of every tensor below a module."""
    if isinstance(value, np.ndarray):
        yield prefix, value
    elif isinstance(value, ScriptModule):
        for name, item in vars(value).get("attributes", {}).items():
            yield from named_tensors(item, f"{prefix}.{name}" if prefix else str(name))


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
            refuse(self.path, f"Unsupported global {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        """A storage of the archive as a flat array."""
        _, dtype, key, _, count = pid
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
        raise CheckpointError(f"a tensor of shape {shape} does not fit its storage of {storage.size} elements")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def check_suffix(path: pathlib.Path, nested: bool) -> None:
    """Raises CheckpointError if `write` does not know the ending; safetensors files cannot nest dicts."""
    suffixes = TORCH_SUFFIXES if nested else (".safetensors", *TORCH_SUFFIXES)
    if path.suffix not in suffixes:
        raise CheckpointError(f"{path}: expected a name ending in {', '.join(suffixes)}")


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
        raise CheckpointError(f"{path}: writing it needs PyTorch: pip install 'actionclip-jax[torch]'") from None
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
