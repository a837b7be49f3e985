"""What a fault is, and how the command is started to have one."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

COMMAND = [sys.executable, "-c", "import sys; from actionclip_jax import cli; sys.exit(cli.main())"]


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what should happen then."""

    name: str
    expected: str
    inject: Callable[[pathlib.Path], str]  # given an empty folder: does it, returns what happened, raises if wrong


class Unexpected(Exception):
    """What happened is not what should; the message says what did."""


def start(
    arguments: Sequence[str],
    *,
    devices: int = 1,
    environment: Mapping[str, str] | None = None,
    output: int | None = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """`actionclip ARGUMENTS` on so many virtual CPU devices, in a process group of its own; output is one text.

    With `output` None it goes where that of this program does.
    """
    variables = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **(environment or {}),
    }
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=variables,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(arguments: Sequence[str], *, timeout: float = 300, **options: object) -> tuple[int, str]:
    """Exit code and output of `actionclip ARGUMENTS`; a command that takes longer than `timeout` seconds hangs."""
    process = start(arguments, **options)
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Unexpected(f"hung: no end after {timeout:.0f} s") from None
    return process.returncode, said


def expect(holds: bool, happened: str) -> None:
    """Raises Unexpected with what happened unless `holds`."""
    if not holds:
        raise Unexpected(happened)
