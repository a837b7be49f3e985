"""Settings and arguments that had another name in version 0.1: users are told the new one, and saved ones are read."""

import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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


ARGUMENTS = {"labels": "class_names"}  # of functions
Function = TypeVar("Function", bound=Callable)


def refuse_arguments(function: Function) -> Function:
    """The function, which answers an old argument by telling the new one."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if old := next((name for name in ARGUMENTS if name in keywords), None):
            raise TypeError(f"the argument {old} is now called {ARGUMENTS[old]}")
        return function(*arguments, **keywords)

    return typing.cast(Function, call)


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
