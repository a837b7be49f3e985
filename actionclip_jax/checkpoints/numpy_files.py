"""Arrays out of, and into, NumPy's .npz files. Nothing in a file is ever executed: pickled objects are refused."""

import math
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from actionclip_jax.checkpoints import errors, limits

ENDING = ".npz"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def is_archive(path: pathlib.Path) -> bool:
    """Whether a file is a zip archive of NumPy arrays alone."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except errors.UNREADABLE:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def check_suffix(path: pathlib.Path) -> None:
    """Raises CheckpointError for a name of a file to be written that has another ending."""
    if path.suffix != ENDING:
        raise errors.CheckpointError(f"{path}: expected a name ending in {ENDING}")


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name."""
    limits.check_archive(path)
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"{name!r} is there twice")
                arrays[name] = read_array(archive, entry)
    except errors.UNREADABLE as error:
        raise errors.CheckpointError(
            f"{path}: not a readable .npz file, or cut short ({errors.first_line(error)})"
        ) from None
    return arrays


def read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array. Raises ValueError for other things than numbers, and where the entry is not as long as they are."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{entry.filename} has the unknown format {version}")
        shape, by_columns, dtype = HEADERS[version](file)
        if dtype.type is np.void and dtype.itemsize == 2 and dtype.names is None:  # so NumPy stores bfloat16
            dtype = np.dtype(ml_dtypes.bfloat16)
        elif dtype.kind not in "biuf":
            raise ValueError(f"{entry.filename} holds {dtype}, and no numbers")
        if math.prod(shape) * dtype.itemsize != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} of shape {shape} does not fit its {entry.file_size} bytes")
        numbers = np.frombuffer(file.read(), dtype).reshape(shape, order="F" if by_columns else "C")
        return numbers.copy()  # which can be written to, as others' arrays can


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, without compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = dict(arrays)  # its stubs want no array in place of an option
    np.savez(path, **named)
