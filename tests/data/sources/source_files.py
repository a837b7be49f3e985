"""Lists and videos of data sets, written and opened as every command opens them."""

import pytest

from actionclip_jax import config
from actionclip_jax.data import sources


def read(path, check_files=True, **settings):
    return sources.open_source(config.SourceConfig(path=str(path), **settings), check_files)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def rows(clips):
    """(id, labels as texts) of every clip."""
    return [
        (clip.id, tuple(clips.labels[x] for x in clip.labels)) for clip in map(clips.__getitem__, range(len(clips)))
    ]


def error_of(path, **settings):
    with pytest.raises(sources.SourceError) as caught:
        read(path, **settings)
    return str(caught.value)
