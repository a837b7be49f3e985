"""SHA-256 of parameters and of what JSON says: whether something is what was saved, and what was made from what."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def digest(params: Mapping[str, np.ndarray | jax.Array], *parts: str) -> str:
    """SHA-256 of the paths and values of all parameters, or of those of some `parts` of the model (`text`, `image`)."""
    digest = hashlib.sha256()
    for path in sorted(path for path in params if not parts or path.split("/")[0] in parts):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(params[path]).data)
    return digest.hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of what JSON says, whatever the order of names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
