"""What settings are made of: dataclasses that are frozen, but for the draft that a configuration file changes."""

import dataclasses
import typing
from typing import Any, TypeVar

T = TypeVar("T")


@typing.dataclass_transform()
def dataclass(kind: type[T]) -> type[T]:
    """A frozen dataclass. Type checkers are not told that it is: in configuration files its fields are assigned to."""
    return dataclasses.dataclass(frozen=True)(kind)


def draft(settings: T) -> T:
    """A copy whose fields can be assigned to, and those of its parts: `run.optim.lr = 1e-3`.

    Names that are no fields can be assigned to as well; `values` has them, so that all of them are refused together.
    """
    kind = type(settings)
    copy = typing.cast(T, object.__new__(type(kind.__name__, (kind,), {"__setattr__": assign})))
    for name, value in vars(settings).items():
        setattr(copy, name, value)
    return copy


def assign(part: Any, name: str, value: Any) -> None:
    """Sets an attribute of a draft, whose parts are drafts too."""
    object.__setattr__(part, name, draft(value) if dataclasses.is_dataclass(value) else value)


def values(part: Any) -> dict[str, Any]:
    """All that settings hold, as nested dicts."""
    return {name: values(value) if dataclasses.is_dataclass(value) else value for name, value in vars(part).items()}
