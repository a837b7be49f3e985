"""Configuration files and what the command line changes in them.

A file is Python with a function `get_config()` that returns a `config.TrainConfig`, usually a draft with changes.
Where it takes an argument, `FILE:ARGUMENT` passes one. Files that return an `ml_collections.ConfigDict`, as all did in
version 0.1, are read too.
"""

import ast
import difflib
import inspect
import pathlib
import runpy
import textwrap
import traceback
from collections.abc import Sequence
from typing import Any

import ml_collections

from actionclip_jax import config
from actionclip_jax.config import renamed, settings

PREFIX = "--config."


def default() -> ml_collections.ConfigDict:
    """All settings at their defaults, as files of version 0.1 change them; new ones write `config.draft`."""
    return ml_collections.ConfigDict(config.to_dict(config.TrainConfig()), type_safe=False)


def load(name: str, overrides: Sequence[str] = ()) -> config.TrainConfig:
    """The run of a configuration file, with `--config.part.field=value` overrides.

    Raises:
        ConfigError: unknown names, values of the wrong type and impossible values, all of them listed.
    """
    values = read(name)
    problems = apply(values, overrides)
    run = config.read_dict(config.TrainConfig, values, "config", problems)
    if problems := problems + config.run_problems(run):
        raise config.ConfigError(problems)
    return run


def read(name: str) -> dict[str, Any]:
    """What the `get_config` of a file, or of a configuration that comes with the program, returns: nested dicts."""
    path, _, argument = name.partition(":")
    file = find(path)
    try:
        make = runpy.run_path(str(file)).get("get_config")
        if make is None:
            raise config.ConfigError([f"{path}: it has no function get_config()"])
        if argument and not inspect.signature(make).parameters:
            raise config.ConfigError([f"{path}: its get_config() takes no argument, and {argument!r} was given"])
        made = make(argument) if argument else make()
    except config.ConfigError:
        raise
    except Exception as error:  # whatever the file does
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f"{path}, line {lines[-1]}" if lines else path
        raise config.ConfigError([f"{where}: {type(error).__name__}: {error}"]) from None
    if isinstance(made, ml_collections.ConfigDict):
        return made.to_dict()
    if not isinstance(made, config.TrainConfig):
        raise config.ConfigError([f"{path}: get_config() returns {type(made).__name__}, expected a config.TrainConfig"])
    return settings.values(made)


def find(path: str) -> pathlib.Path:
    """The file of that path, or else the configuration of that name among those that come with the program."""
    if (file := pathlib.Path(path)).is_file():
        return file
    known = shipped()
    if path in known:
        return known[path]
    problem = f"--config {path}: there is no such file"
    if file.name == path and not file.suffix:
        problem += f", and the configurations that come with the program are {', '.join(known)}"
    raise config.ConfigError([problem])


def shipped() -> dict[str, pathlib.Path]:
    """The configurations that come with the program, by name."""
    package = pathlib.Path(__file__).parents[1]
    inside = package / "configs"  # of an installed package; in a checkout they lie beside it
    directory = inside if inside.is_dir() else package.parent / "configs"
    return {file.stem: file for file in sorted(directory.glob("*.py"))}


def apply(values: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Puts `--config.part.field=value` (or `--config.part.field value`) into the values; returns what is wrong."""
    problems, known = [], flatten(config.to_dict(config.TrainConfig()))
    remaining = list(overrides)
    while remaining:
        option = remaining.pop(0)
        if not option.startswith(PREFIX):
            problems.append(f"{option!r} is not understood: settings are changed by {PREFIX}part.field=value")
            continue
        path, equals, text = option.removeprefix(PREFIX).partition("=")
        if not equals and remaining and (path in known or not remaining[0].startswith("--")):
            equals, text = "=", remaining.pop(0)
        if path not in known:
            problems.append(f"{PREFIX}{path} is unknown{suggest(path, known)}")
        elif not equals:
            problems.append(f"{option} has no value")
        else:
            try:
                put(values, path, parse(text, known[path]))
            except ValueError as error:
                problems.append(f"{PREFIX}{path}={textwrap.shorten(text, 100)}: {error}")
    return problems


def suggest(path: str, known: dict[str, object]) -> str:
    """What an unknown setting is called now, or may be meant for."""
    if path in renamed.FIELDS:
        return f": it is now called {renamed.FIELDS[path]}"
    near = difflib.get_close_matches(path, known, 2, 0.7)
    return f": did you mean {' or '.join(near)}?" if near else ""


def put(values: dict[str, Any], path: str, value: object) -> None:
    """Sets one of nested values by its path, `optim.lr`."""
    *parts, name = path.split(".")
    for part in parts:
        if not isinstance(values := values.setdefault(part, {}), dict):
            return  # the file put something else there, which is refused anyway
    values[name] = value


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their path, `optim.lr`."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def parse(text: str, usual: object) -> object:
    """The text of an option as a value of the type of the field's usual one. Raises ValueError."""
    if isinstance(usual, str):
        return text
    text = {"true": "True", "false": "False"}.get(text.lower(), text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two where it nests too deeply
        raise ValueError(f"expected {type(usual).__name__}") from None
