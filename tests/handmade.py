"""TorchScript archives made by hand, whose tensors may claim anything."""

import io
import pickle
import sys
import types
import zipfile

import numpy as np
import torch


class Tensor:
    """Pickles to a view, of any claim, of a storage."""

    def __init__(self, shape, strides, offset=0, count=2, key="0"):
        self.claims = (("STORAGE", key, count), offset, shape, strides, False, {})

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.claims


class Module:
    """Pickles to a scripted module with these attributes."""

    def __init__(self, attributes):
        vars(self).update(attributes)


Module.__module__, Module.__qualname__ = "__torch__", "Module"


class Pickler(pickle.Pickler):
    """Writes storages as PyTorch does."""

    def persistent_id(self, value):
        """The mark of a storage."""
        if isinstance(value, tuple) and value[:1] == ("STORAGE",):
            return ("storage", torch.FloatStorage, value[1], "cpu", value[2])
        return None


def pickled(value):
    """Pickles modules and tensors."""
    sys.modules["__torch__"] = types.SimpleNamespace(Module=Module)
    try:
        Pickler(buffer := io.BytesIO(), 2).dump(value)
    finally:
        del sys.modules["__torch__"]
    return buffer.getvalue()


def write(path, pickled):
    """A TorchScript archive with the given `data.pkl` and one storage of two numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            ("code/__torch__.py", b""),
            ("data.pkl", pickled),
            ("data/0", np.ones(2, np.float32).tobytes()),
            ("version", b"3"),
        ):
            archive.writestr(f"a/{name}", content)
