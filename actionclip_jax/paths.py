"""What an argument that names a file or directory may be."""

import os
import re

URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # C:/x, with its single letter, is a path
ADVICE = {
    "file": "give the plain path",
    "gs": "mount the bucket, with gcsfuse say, or copy it",
    "s3": "mount the bucket, with mount-s3 say, or copy it",
    "hf": "a model of the hub is called owner/name",
}


def problem(name: str, value: str | os.PathLike) -> str | None:
    """Why an option or setting of that name cannot have the value, as a sentence; None if it may be a local path."""
    value = os.fspath(value)
    if not value.strip():
        return f"{name} is empty: expected a path"
    if not URL.match(value):
        return None
    scheme = value.partition(":")[0].lower()
    return f"{name} is {value!r}: expected a path on this machine; {ADVICE.get(scheme, 'copy it here first')}"


def check_local(name: str, value: str | os.PathLike) -> None:
    """Raises ValueError for a value that can be no local path."""
    if found := problem(name, value):
        raise ValueError(found)
