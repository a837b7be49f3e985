"""What can be wrong with a checkpoint, and how it is said."""

import pathlib
import pickle
import zipfile
import zlib
from typing import NoReturn

# what reading a damaged or hostile pickle or archive can raise, RecursionError being a RuntimeError
UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    MemoryError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    StopIteration,
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says why and what to do."""


class ModelDirectoryError(ValueError):
    """A directory that is not a model, or not a whole one."""


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
