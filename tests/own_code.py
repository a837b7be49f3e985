"""A package of a user's own, for the tests of what can be named in the settings."""

import pathlib
import re
import sys
import textwrap

from actionclip_jax.models import action_clip

GUIDE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"


def write_guide(directory):
    """The files whose contents docs/extending.md shows."""
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        name, _, content = block.removeprefix("# ").partition("\n")
        write(directory, name, content)


def write(directory, name, content):
    """A file of the package."""
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(content), encoding="utf-8")


def forget(package="my_package"):
    """As if nothing had been imported from it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    action_clip._param_shapes.cache_clear()
