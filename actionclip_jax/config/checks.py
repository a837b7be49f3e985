"""What is wrong with settings, all of it at once; and settings as plain dicts."""

import dataclasses
import sys
import typing
from collections.abc import Mapping
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot work; the message lists every problem found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["the configuration has problems:", *(f"  {problem}" for problem in problems)]))


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain dicts, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(kind: type, values: Mapping[str, Any], where: str = "config") -> Any:
    """The inverse of `to_dict`; unknown names and wrong types are an error that lists all of them."""
    found: list[str] = []
    value = read_dict(kind, values, where, found)
    if found:
        raise ConfigError(found)
    return value


def read_dict(kind: type, values: Mapping[str, Any], where: str, found: list[str]) -> Any:
    """The same, but what is wrong is added to `found` and left at its default."""
    hints, fields = typing.get_type_hints(kind), {}
    for name, value in values.items():
        if name not in hints:
            found.append(f"{where}.{name} is unknown: expected one of {', '.join(hints)}")
        elif dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            fields[name] = read_dict(hints[name], value, f"{where}.{name}", found)
        else:
            try:
                fields[name] = convert(hints[name], value)
            except TypeError as error:
                expected = getattr(hints[name], "__name__", "") if not typing.get_args(hints[name]) else hints[name]
                expected = str(error) or expected
                found.append(f"{where}.{name} is {value!r}: expected {expected}")
    return kind(**fields)


def convert(kind: Any, value: Any) -> Any:
    """A value as the type of its field. Raises TypeError."""
    members = typing.get_args(kind)  # of tuple[float, ...] and tuple[str, float]
    if members and isinstance(value, list | tuple):
        members = members[:1] * len(value) if members[-1] is Ellipsis else members
        if len(members) == len(value):
            return tuple(convert(member, part) for member, part in zip(members, value, strict=True))
    elif not members and (type(value) is kind or (kind is float and type(value) is int)):
        if kind is float and not abs(value) <= sys.float_info.max:  # catches NaN too
            raise TypeError("a finite number")
        return kind(value)
    raise TypeError
