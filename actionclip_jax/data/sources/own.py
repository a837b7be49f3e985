"""Kinds of data sets of the user's own, named `package.module:read` in the settings.

One is a function `(source, errors) -> listing.Listing`, like those in `kinds/`. The settings of `opening.USED_BY` that
it honours stand in its attribute `uses`: others are refused, so that none is without effect unnoticed.
"""

import inspect
from collections.abc import Callable

from actionclip_jax import config, entry_points
from actionclip_jax.data.sources import listing, problems

Read = Callable[[config.SourceConfig, problems.Problems], listing.Listing]


def load(name: str) -> Read:
    """The function that the name stands for. Raises ValueError where it is none of (source, errors)."""
    read = entry_points.load(name, "kind")
    try:
        inspect.signature(read).bind(None, None)
    except TypeError:
        raise ValueError(
            f"kind is {name!r}: expected a function (source: config.SourceConfig, errors: problems.Problems) -> "
            "listing.Listing"
        ) from None
    return read


def read(name: str, source: config.SourceConfig, errors: problems.Problems) -> listing.Listing:
    """What the function makes of the source. Raises SourceError, and ValueError for what is no listing."""
    function = load(name)
    try:
        listed = entry_points.call(f"kind {name}: reading {source.path}", function, source, errors)
    except ValueError as error:
        if isinstance(error.__cause__, problems.SourceError):  # that is how it says what is wrong with the data
            raise error.__cause__ from None
        raise
    if not isinstance(listed, listing.Listing):
        raise ValueError(f"kind {name}: returns a {type(listed).__name__}, expected a listing.Listing")
    if wrong := next((entry for entry in listed.entries if not isinstance(entry, listing.Entry)), None):
        raise ValueError(f"kind {name}: lists {wrong!r}, expected a listing.Entry for every clip")
    return listed


def uses(name: str) -> tuple[str, ...]:
    """The settings that the function says it honours. Raises ValueError."""
    return tuple(getattr(load(name), "uses", ()))
