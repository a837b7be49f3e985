"""A run as a configuration file: Python like that in `configs/`, of what differs from the defaults."""

import pathlib
from typing import Any

from actionclip_jax import files
from actionclip_jax.config import checks, config_file
from actionclip_jax.config.train import TrainConfig


def write(path: pathlib.Path, run: TrainConfig, about: str) -> None:
    """Writes a file that `config_file.load` reads back as the same run; `about` is what its first lines say."""
    files.write_text(path, as_python(run, about))


def as_python(run: TrainConfig, about: str) -> str:
    """The text of the file."""
    usual, chosen = (config_file.flatten(checks.to_dict(each)) for each in (TrainConfig(), run))
    lines, part = [], ""
    for name, value in chosen.items():
        if value != usual[name]:
            before, part = part, name.rpartition(".")[0].split(".")[0]  # of the run's own settings: none
            lines += [*([""] if lines and part != before else []), f"    run.{name} = {literal(value)}"]
    return "\n".join(
        [
            literal_text(about),
            "",
            "from actionclip_jax import config",
            "",
            "",
            "def get_config() -> config.TrainConfig:",
            "    run = config.draft(config.TrainConfig())",
            *lines,
            "    return run",
            "",
        ]
    )


def literal_text(about: str) -> str:
    """A docstring, whatever it says."""
    escaped = about.replace("\\", "\\\\").replace('"', r"\"")
    readable = "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in escaped
    )
    return f'"""{readable}\n"""' if "\n" in readable else f'"""{readable}"""'


def literal(value: Any) -> str:
    """A value as Python has it, with double quotes where it needs no others."""
    if isinstance(value, list | tuple):
        cells = [literal(cell) for cell in value]
        return f"({', '.join(cells)}{',' * (len(cells) == 1)})"
    if isinstance(value, str) and not {'"', "'"} & set(value):
        return f'"{repr(value)[1:-1]}"'
    return repr(value)
