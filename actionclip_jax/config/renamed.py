"""Settings that had another name in version 0.1: users are told the new one, and what was saved then is still read."""

from collections.abc import Mapping

FIELDS = {
    "data.augment.grey": "data.augment.grayscale",
    "interpolation.greatest": "interpolation.max_initial_fraction",
    "interpolation.strength": "interpolation.loss_weight",
    "optim.refresh_every": "optim.schedule_every",
}
VALUES = {
    "remat": {
        "none": "everything",
        "products": "dots",
        "projections": "qkv_and_mlp",
        "attention": "attention_output",
        "full": "nothing",
    },
}


def hint(field: str, value: object) -> str:
    """What to write instead of an old value, for the end of a message; empty for any other value."""
    new = VALUES.get(field, {}).get(str(value))
    return f" ({value!r} is now called {new!r})" if new else ""


def translate(saved: Mapping[str, object]) -> dict[str, object]:
    """Settings by path, `compute.remat`, as any version saved them -> by the names of this one."""
    return {
        FIELDS.get(path, path): VALUES.get(path.rpartition(".")[2], {}).get(str(value), value)
        for path, value in saved.items()
    }
