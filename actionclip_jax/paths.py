"""What may stand where a path is expected: something on this machine. And where caches are."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence

URL = re.compile(r"[a-z][a-z0-9+-]+:/+", re.IGNORECASE)  # also as pathlib has it, with one slash; C:/x is none
ADVICE = {
    "file": "give the plain path",
    "gs": "mount the bucket, with gcsfuse for instance, or copy it first",
    "s3": "mount the bucket, with mount-s3 for instance, or copy it first",
    "hf": "a model of the Hugging Face hub is called owner/name",
}
MODELS = ("MODEL", "SOURCE", "--from", "--init-from", "init_from")  # what may name one

Path = str | os.PathLike


def problem(name: str, value: Path) -> str | None:
    """Why the option or setting of that name cannot be this, as a sentence; None where it may be a path."""
    text = os.fspath(value)
    if not text.strip():
        return f"{name} is empty: expected a path"
    scheme = URL.match(text)
    if scheme is None:
        return None
    kind, rest = text[: text.index(":")], text[scheme.end() :]
    shown = text if "://" in text else f"{kind}://{rest}"
    advice = ADVICE.get(kind.lower(), "copy it here first")
    if name in MODELS and "hub" not in advice:
        advice += "; a model of the Hugging Face hub is called owner/name"
    return f"{name} is {shown!r}: expected a path on this machine; {advice}"


def expand_home(path: str | os.PathLike) -> pathlib.Path:
    """`~/a` and `~user/a` below the home directories there are; other names that begin with `~` are names."""
    path = pathlib.Path(path)
    if path.parts[:1] != ("~",) and os.path.exists(path):  # noqa: PTH110 - names may be too long to be asked for
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path


def cache_directory() -> pathlib.Path:
    """Where caches go: $XDG_CACHE_HOME/actionclip-jax, by default below ~/.cache."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "actionclip-jax"


def check(values: Mapping[str, Path | Sequence[Path] | None]) -> None:
    """Raises ValueError for options (by name, with their value or values) that can be no path; None is not given."""
    parts = {name: [value] if isinstance(value, Path) else value or () for name, value in values.items()}
    if problems := [sentence for name, part in parts.items() for value in part if (sentence := problem(name, value))]:
        raise ValueError("\n  ".join(["these are no paths:", *problems] if len(problems) > 1 else problems))


def check_file(name: str, value: Path) -> None:
    """Raises ValueError unless there is such a file."""
    check({name: value})
    path = expand_home(value)
    if path.is_dir():
        raise ValueError(f"{name} is {str(value)!r}, a directory: expected a file")
    if not path.exists():
        raise ValueError(f"{name} is {str(value)!r}: there is no such file")


def check_directory(name: str, value: Path) -> None:
    """Raises ValueError where a directory to write into neither is nor can be made."""
    check({name: value})
    path = expand_home(value).absolute()
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(f"{name} is {str(value)!r}, but {there} is no directory: choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{name} is {str(value)!r}, but nothing can be written into {there}: choose another place")
