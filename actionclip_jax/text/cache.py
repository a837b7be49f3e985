"""A cache of text embeddings."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np

from actionclip_jax import files


@dataclasses.dataclass
class TextCache:
    """Text embeddings kept by what made them: in memory, and in files under `directory` if one is given."""

    directory: pathlib.Path | None = None
    memory: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def get(self, made_from: dict[str, object], make: Callable[[], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """The array of that shape made from `made_from` (weights, templates, labels ...; JSON), computed if unknown."""
        name = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
        if name not in self.memory:
            path = self.directory / f"{name}.npy" if self.directory else None
            self.memory[name] = load_or_make(path, make, shape) if path else make()
        return self.memory[name]


def load_or_make(path: pathlib.Path, make: Callable[[], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The array in the cache file, written first if it is missing or damaged."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that promises too much is an error
        if array.shape == shape:
            return np.array(array)
    except (OSError, ValueError, EOFError):
        pass
    array = make()
    # a cache that cannot be written, in a read-only home say, only costs time
    mark = f".{os.getpid()}"
    with contextlib.suppress(OSError), files.written_whole(path, mark) as partial, partial.open("wb") as file:
        np.save(file, array)
    return array
