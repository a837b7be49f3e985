"""What is wrong with settings, all of it at once; and settings as plain dicts."""

import dataclasses
import sys
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from actionclip_jax import entry_points
from actionclip_jax.config import renamed

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot work; the message lists every problem found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["the configuration has problems:", *(f"  {problem}" for problem in problems)]))


def choice_problems(part: Any) -> list[str]:
    """Values of one part of the settings that are none of those its field can choose from.

    A field of the type `Literal[...] | str` may also name code of the user's own, whose existence is not asked here.
    """
    problems = []
    for name, hint in typing.get_type_hints(type(part)).items():
        choices, value = choices_of(hint), getattr(part, name)
        if not choices or value in choices or (takes_own_code(hint) and entry_points.is_name(value)):
            continue
        own = f", or code of your own as {entry_points.FORM}" if takes_own_code(hint) else ""
        problems.append(f"{name} is {value!r}: expected one of {', '.join(choices)}{own}{renamed.hint(name, value)}")
    return problems


def choices_of(hint: Any) -> tuple[str, ...]:
    """What a field of this type can choose from by name; () where it is no such field."""
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return choices_of(typing.get_args(hint)[0]) if takes_own_code(hint) else ()


def takes_own_code(hint: Any) -> bool:
    """Whether the type of a field is `Literal[...] | str`."""
    members = typing.get_args(hint)
    return len(members) == 2 and typing.get_origin(members[0]) is Literal and members[1] is str


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain dicts, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """The inverse of `to_dict`; unknown names and wrong types are an error that lists all of them."""
    problems: list[str] = []
    value = read_dict(kind, values, where, problems)
    if problems:
        raise ConfigError(problems)
    return value


def read_dict(kind: type[T], values: Mapping[str, Any], where: str, problems: list[str]) -> T:
    """The same, but what is wrong is added to `problems` and left at its default."""
    hints, fields = typing.get_type_hints(kind), {}
    for name, value in values.items():
        path = f"{where}.{name}"
        if name not in hints:
            new = renamed.FIELDS.get(path.removeprefix("config."))
            expected = f"it is now called {new}" if new else f"expected one of {', '.join(hints)}"
            problems.append(f"{path} is unknown: {expected}")
        elif dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            fields[name] = read_dict(hints[name], value, path, problems)
        else:
            try:
                fields[name] = convert(hints[name], value)
            except TypeError as error:
                problems.append(f"{path} is {value!r}: expected {str(error) or describe(hints[name])}")
    return kind(**fields)


def describe(kind: Any) -> str:
    """The type of a field in a message."""
    if choices_of(kind):
        return "str"
    return str(kind) if typing.get_args(kind) else kind.__name__


def convert(kind: Any, value: Any) -> Any:
    """A value as the type of its field. Raises TypeError."""
    if choices_of(kind):
        kind = str  # which of them is asked later, by `choice_problems`
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
