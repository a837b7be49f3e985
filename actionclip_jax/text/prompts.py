"""Prompt templates: where they come from, and class names put into them."""

import os
import pathlib
from collections.abc import Sequence

from actionclip_jax import entry_points, files

# The source's 16 templates, in its order, which decides seeds and the [P, C] layout.
ACTIONCLIP_TEMPLATES = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)
TEMPLATES: dict[str, tuple[str, ...]] = {"actionclip": ACTIONCLIP_TEMPLATES, "none": ("{}",)}


def load_templates(name_or_file: str | os.PathLike) -> tuple[str, ...]:
    """Prompt templates by name (a key of TEMPLATES), from a text file, or those of a user's own `package.module:NAME`.

    A file has one template with one `{}` a line; one that is called like code is written `./a:b`.
    """
    if isinstance(name_or_file, str) and name_or_file in TEMPLATES:
        return TEMPLATES[name_or_file]
    path = pathlib.Path(name_or_file)
    if entry_points.is_name(name_or_file):
        return own_templates(str(name_or_file))
    if not path.is_file():
        raise ValueError(
            f"templates {str(path)!r}: expected {' or '.join(TEMPLATES)}, or a text file, and found neither; templates "
            f"of your own code are named as {entry_points.FORM}"
        )
    return checked_templates(files.read_lines(path), f"{path}: ")


def own_templates(name: str) -> tuple[str, ...]:
    """The templates that `package.module:NAME` stands for. Raises ValueError."""
    templates = entry_points.load(name, "templates")
    if not isinstance(templates, list | tuple) or not all(isinstance(template, str) for template in templates):
        raise ValueError(f"templates {name}: a {type(templates).__name__}, expected a list or tuple of texts")
    return checked_templates(templates, f"{name}: ")


def checked_templates(templates: Sequence[str], where: str = "") -> tuple[str, ...]:
    """The templates, or a ValueError naming each that does not hold exactly one `{}`."""
    if not isinstance(templates, Sequence) or not all(isinstance(template, str) for template in templates):
        raise ValueError(f"{where}templates are {templates!r}: expected a name, a file, or a list of texts")
    if not templates:
        raise ValueError(f"{where}no prompt templates: expected at least one, with {{}} where the label goes")
    if wrong := [template for template in templates if template.count("{}") != 1]:
        raise ValueError(f"{where}each template needs exactly one {{}}: {', '.join(map(repr, wrong))}")
    return tuple(templates)


def fill(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """C class names in P templates -> C * P prompts, the templates of a class side by side."""
    return [template.replace("{}", name) for name in class_names for template in templates]
