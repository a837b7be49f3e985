"""Names of a user's own code, `package.module:Name`: what may be one, and what stands behind it.

A head, a kind of data set, templates and a loss can be named so in the settings. Nothing here decides whether the code
may be trusted: whoever asks for it does.
"""

import hashlib
import importlib
import os
import pathlib
import re
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, TypeVar

FORM = "package.module:Name"
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
Result = TypeVar("Result")


def is_name(value: object) -> bool:
    """Whether it has the form `package.module:Name`."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def load(name: str, setting: str) -> Any:
    """What the name stands for: imports its module, from the packages installed or the current directory.

    `setting` is where the name stands, for messages.

    Raises:
        ValueError: no such module, one that fails while it is imported, or no such name in it.
    """
    module, attribute = import_module(name, setting), name.partition(":")[2]
    if not hasattr(module, attribute):
        raise ValueError(f"{setting} is {name!r}: {module.__file__ or module.__name__} has no {attribute!r}")
    return getattr(module, attribute)


def import_module(name: str, setting: str) -> types.ModuleType:
    """The module of a name. Raises ValueError."""
    module = name.partition(":")[0]
    if os.getcwd() not in sys.path and "" not in sys.path:  # noqa: PTH109 - as Python itself writes it there
        sys.path.append(os.getcwd())  # noqa: PTH109 - last, so that nothing installed is hidden
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{setting} is {name!r}: importing it failed: {describe(error)}") from error
        raise ValueError(
            f"{setting} is {name!r}: there is no module {error.name!r} among the installed packages or in "
            f"{os.getcwd()}: install the package that it is from, or start in the directory that holds it"  # noqa: PTH109
        ) from None
    except Exception as error:  # whatever the code does
        raise ValueError(f"{setting} is {name!r}: importing it failed: {describe(error)}") from error


def call(what: str, function: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
    """The result of a user's function; what it raises becomes a ValueError that says `what` failed, and where."""
    try:
        return function(*arguments, **keywords)
    except Exception as error:  # whatever the code does
        raise ValueError(f"{what} raised {describe(error)}") from error


def describe(error: Exception) -> str:
    """`TypeError: reason (heads.py, line 12)`: the innermost line of code that is no library's."""
    said = str(error).strip().partition("\n\n")[0]
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and not frame.filename.startswith("<")
        and pathlib.Path(__file__).parent not in pathlib.Path(frame.filename).parents
        and pathlib.Path(os.__file__).parent not in pathlib.Path(frame.filename).parents
    ]
    where = f" ({pathlib.Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {said}{where}"


def digest(name: str) -> str:
    """SHA-256 of the file that the name's module is; of what that file imports it says nothing. Raises ValueError."""
    file = import_module(name, "the code").__file__
    return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest() if file else ""
