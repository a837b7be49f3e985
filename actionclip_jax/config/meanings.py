"""What settings mean: the comment beside each field, which is the only place where it is said."""

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
import typing
from collections.abc import Iterator
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a run."""

    path: str  # `optim.lr`
    value: object
    default: object
    meaning: str
    choices: tuple[str, ...]  # what the value may be, where it is one of few


@dataclasses.dataclass(frozen=True)
class Section:
    """The settings of one part of a run, without those of its own parts."""

    path: str  # `optim`; empty for those of no part
    meaning: str
    settings: tuple[Setting, ...]


def of_fields(kind: type) -> dict[str, str]:
    """The comment at the end of each field's definition in a class of settings, by the field's name; may be empty."""
    source = textwrap.dedent(inspect.getsource(kind))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    (made,) = ast.parse(source).body
    fields = [part for part in typing.cast(ast.ClassDef, made).body if isinstance(part, ast.AnnAssign)]
    return {typing.cast(ast.Name, field.target).id: comments.get(field.end_lineno or 0, "") for field in fields}


def sections(part: Any, default: Any, path: str = "", meaning: str = "") -> Iterator[Section]:
    """Every setting of `part`, beside what it is in `default`; the parts of the part follow it."""
    kind = type(part)
    meanings, hints = of_fields(kind), typing.get_type_hints(kind)
    described = inspect.getdoc(kind) or ""
    inner, settings = [], []
    for field in dataclasses.fields(part):
        name, value = field.name, getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            inner.append(name)
            continue
        choices = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is Literal else ()
        settings.append(Setting(f"{path}{name}", value, getattr(default, name), meanings[name], choices))
    title = f"{described} Here {meaning}." if meaning else described
    yield Section(path.removesuffix("."), " ".join(title.split()), tuple(settings))
    for name in inner:
        yield from sections(getattr(part, name), getattr(default, name), f"{path}{name}.", meanings[name])
