"""What the files beside the weights say of a model, compared with what this program does."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from actionclip_jax import config
from actionclip_jax.checkpoints import errors, torch_files

Choice = TypeVar("Choice")


def refuse(source: torch_files.Source, file: str, problems: Sequence[str]) -> None:
    """Raises CheckpointError if there are any problems."""
    if problems:
        raise errors.CheckpointError("\n  ".join([f"{source.name}: {file} describes another model:", *problems]))


def differences(
    section: str, content: Mapping[str, Any], wanted: Mapping[str, Any], others: Collection[str]
) -> list[str]:
    """What of a section is not as wanted, or not known at all; `others` may have any value. None means not said."""
    problems = []
    for name, value in content.items():
        if name in others or value is None:
            continue
        if name not in wanted:
            problems.append(f"{section}.{name} is {value!r}, a setting that this program does not know")
        elif one_number(value) != wanted[name]:
            problems.append(f"{section}.{name} is {value!r}: only {wanted[name]!r} is supported")
    return problems


def choose(
    section: str,
    content: Mapping[str, Any],
    name: str,
    choices: Mapping[Any, Choice],
    usual: Choice,
    problems: list[str],
) -> Choice:
    """What a setting of a section means, by its value; `usual` where it is not said. Other values become problems."""
    value = content.get(name)
    if value is None:
        return usual
    for known, meaning in choices.items():
        if type(value) is type(known) and value == known:
            return meaning
    problems.append(f"{section}.{name} is {value!r}: only {' or '.join(map(repr, choices))} is supported")
    return usual


def one_number(value: Any) -> Any:
    """A list of equal entries as the entry: sizes are written both ways."""
    if isinstance(value, list | tuple) and value and all(part == value[0] for part in value):
        return value[0]
    return value


def size_differences(section: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Sizes in a section that the weights do not have; those that it does not say are not compared."""
    return [
        f"{name} is {section[name]!r}, the weights have {size}"
        for name, size in sizes.items()
        if section.get(name) is not None and one_number(section[name]) != size
    ]


def unlike(model: config.ModelConfig, wanted: config.ModelConfig, free: Collection[str]) -> list[str]:
    """What of a model's towers is not as a format means it, as lines; fields of the `free` names may be anything."""
    whole = ("embed_width", "activation", "norm_eps", "logit_bias")
    parts = [("model", model, {name: getattr(wanted, name) for name in whole})]
    parts += [(name, getattr(model, name), vars(getattr(wanted, name))) for name in ("image", "text")]
    return [
        f"it means {section}.{name} {value!r}, the model has {getattr(part, name)!r}"
        for section, part, fields in parts
        for name, value in fields.items()
        if getattr(part, name) != value and name not in free and f"{section}.{name}" not in free
    ]
