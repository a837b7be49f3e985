"""The directory of a run belongs to one run at a time."""

import contextlib
import pathlib
from collections.abc import Generator

import filelock
import jax
import numpy as np
from jax.experimental import multihost_utils


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Generator[None]:
    """Keeps other runs out of the workdir. A process that dies lets go of it.

    Raises:
        ValueError: another run is there.
    """
    with contextlib.ExitStack() as stack:
        free = True
        if not jax.process_index():
            workdir.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(filelock.FileLock(workdir / ".lock", blocking=False))
            except filelock.Timeout:
                free = False
            except NotImplementedError:  # a file system without locks, as some network ones are
                pass
        if jax.process_count() > 1:
            free = bool(multihost_utils.broadcast_one_to_all(np.asarray(free)))
        if not free:
            raise ValueError(f"{workdir}: another run is using it; wait for its end, or give another --workdir")
        yield
