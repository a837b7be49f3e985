"""What the processes of a run find out together, so that all of them do the same."""

import platform
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")

MESSAGE_BYTES = 400  # of what a process tells the others


class DamagedError(ValueError):
    """A checkpoint that is not what was saved."""


def require_everywhere(holds: bool, why: str) -> None:
    """Raises DamagedError in all processes unless it holds in each of them; the message names those where not."""
    reasons = [""] if holds else [why or "unknown"]
    if jax.process_count() > 1:
        text = f"process {jax.process_index()} on {platform.node()}: {reasons[0]}".encode()[:MESSAGE_BYTES]
        padded = np.frombuffer((b"" if holds else text).ljust(MESSAGE_BYTES, b"\0"), np.uint8)
        gathered = multihost_utils.process_allgather(padded)
        reasons = [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in gathered]
    if wrong := [reason for reason in reasons if reason]:
        raise DamagedError("; ".join(wrong))


def held_everywhere(value: T | None, why: str) -> T:
    """The value, which each process has. Raises DamagedError in all of them where one has none."""
    require_everywhere(value is not None, why)
    assert value is not None
    return value


def require_alike(sha256: str) -> None:
    """Raises DamagedError in all processes unless all have read a description with the same digest."""
    if jax.process_count() > 1:
        digest = np.frombuffer(bytes.fromhex(sha256), np.uint8)
        gathered = multihost_utils.process_allgather(digest)
        different = (gathered != gathered[0]).any(axis=1)
        require_everywhere(not different[jax.process_index()], "another description than process 0 has read")


def seen_anywhere(steps: Sequence[int]) -> list[int]:
    """The steps that some process sees, the newest first: all have to try the same ones."""
    if jax.process_count() > 1:
        most = int(multihost_utils.process_allgather(np.int32(len(steps))).max())
        padded = np.full(most, -1, np.int32)
        padded[: len(steps)] = steps
        steps = multihost_utils.process_allgather(padded).ravel().tolist()
    return sorted({step for step in steps if step >= 0}, reverse=True)
