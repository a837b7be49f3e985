"""How much a checkpoint may make of its bytes: a small file must not fill the memory."""

import pathlib
import pickletools
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np

from actionclip_jax.checkpoints import errors

PICKLE_BYTES = 1 << 24  # of a TorchScript archive's data.pkl: OpenAI's are below 1 MB
ENTRIES = 1 << 20  # of nested dictionaries, one that is named twice counted twice: CLIP with its optimiser has 2,000
SHARED = 4  # tensors may share their bytes, as tied weights do, but no more often than this


def check_archive(path: pathlib.Path) -> None:
    """Raises CheckpointError for a zip archive whose entries are more than its bytes.

    PyTorch compresses nothing but the code of scripts, which is never read here.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if "/code/" not in entry.filename]
    except errors.UNREADABLE as error:
        raise errors.CheckpointError(
            f"{path}: not a readable archive, or cut short ({errors.first_line(error)})"
        ) from None
    if packed := next((entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None):
        raise errors.CheckpointError(f"{path}: refused: the entry {packed!r} is compressed, and could fill the memory")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise errors.CheckpointError(f"{path}: refused: its entries overlap, or are larger than the file")


def check_pickle(data: bytes) -> None:
    """Raises ValueError for lengths and memo numbers beyond the pickle, for which Python would allocate memory."""
    for code, argument, place in pickletools.genops(data):  # which compares lengths itself
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > len(data):
            raise ValueError(f"memo number {argument} at byte {place}")


def entry_counter() -> Iterator[int]:
    """Counts what is visited; raises ValueError when a few dictionaries that hold each other make far too many."""
    yield from range(ENTRIES)
    raise ValueError(f"dictionaries with more than {ENTRIES} entries")


def check_amount(path: pathlib.Path, tensors: Iterable[np.ndarray], stored: int) -> None:
    """Raises CheckpointError where tensors, which may repeat one number or share storage, are more than the file."""
    total = sum(tensor.nbytes for tensor in tensors)
    if total > SHARED * stored:
        raise errors.CheckpointError(f"{path}: refused: tensors of {total} bytes in {stored} bytes of files")
