"""Configuration files and what the command line changes in them.

A file is Python with a function `get_config()` that returns an `ml_collections.ConfigDict`, usually `default()` with
changes. Where it takes an argument, `FILE:ARGUMENT` passes one.
"""

import ast
import difflib
import inspect
import pathlib
import runpy
import textwrap
import traceback
from collections.abc import Sequence

import ml_collections

from actionclip_jax import config

PREFIX = "--config."


def default() -> ml_collections.ConfigDict:
    """All settings of a training run at their defaults, to be changed."""
    # neither locked nor typed: a wrong name or type is reported together with all the others
    return ml_collections.ConfigDict(config.to_dict(config.TrainConfig()), type_safe=False)


def load(name: str, overrides: Sequence[str] = ()) -> config.TrainConfig:
    """The run of a configuration file, with `--config.part.field=value` overrides.

    Raises:
        ConfigError: unknown names, values of the wrong type and impossible values, all of them listed.
    """
    settings = read(name)
    found = apply(settings, overrides)
    run = config.read_dict(config.TrainConfig, settings.to_dict(), "config", found)
    if found := found + config.run_problems(run):
        raise config.ConfigError(found)
    return run


def read(name: str) -> ml_collections.ConfigDict:
    """What the `get_config` of a file returns."""
    path, _, argument = name.partition(":")
    if not pathlib.Path(path).is_file():
        raise config.ConfigError([f"--config {path}: there is no such file"])
    try:
        make = runpy.run_path(path).get("get_config")
        if make is None:
            raise config.ConfigError([f"{path}: it has no function get_config()"])
        if argument and not inspect.signature(make).parameters:
            raise config.ConfigError([f"{path}: its get_config() takes no argument, and {argument!r} was given"])
        made = make(argument) if argument else make()
    except config.ConfigError:
        raise
    except Exception as error:  # whatever the file does
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f"{path}, line {lines[-1]}" if lines else path
        raise config.ConfigError([f"{where}: {type(error).__name__}: {error}"]) from None
    if not isinstance(made, ml_collections.ConfigDict):
        raise config.ConfigError([f"{path}: get_config() returns {type(made).__name__}, expected a ConfigDict"])
    return made


def apply(settings: ml_collections.ConfigDict, overrides: Sequence[str]) -> list[str]:
    """Puts `--config.part.field=value` (or `--config.part.field value`) into the settings; returns what is wrong."""
    found, known = [], flatten(config.to_dict(config.TrainConfig()))
    remaining = list(overrides)
    while remaining:
        option = remaining.pop(0)
        if not option.startswith(PREFIX):
            found.append(f"{option!r} is not understood: settings are changed by {PREFIX}part.field=value")
            continue
        path, equals, text = option.removeprefix(PREFIX).partition("=")
        if path not in known:
            near = difflib.get_close_matches(path, known, 2, 0.7)
            found.append(f"{PREFIX}{path} is unknown" + (f": did you mean {' or '.join(near)}?" if near else ""))
            if not equals and remaining and not remaining[0].startswith("--"):
                del remaining[0]
            continue
        if not equals:
            if not remaining:
                found.append(f"{option} has no value")
                continue
            text = remaining.pop(0)
        try:
            settings.update_from_flattened_dict({path: parse(text, known[path])})
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            found.append(f"{PREFIX}{path}={textwrap.shorten(text, 100)}: {error}")
    return found


def flatten(settings: dict, prefix: str = "") -> dict[str, object]:
    """Nested settings by their path, `optim.lr`."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def parse(text: str, usual: object) -> object:
    """The text of an option as a value of the type of the field's usual one."""
    if isinstance(usual, str):
        return text
    text = {"true": "True", "false": "False"}.get(text.lower(), text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two where it nests too deeply
        raise ValueError(f"expected {type(usual).__name__}") from None
    return value
