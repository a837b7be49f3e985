"""Starts the command in processes of its own, waits for them, and looks at what they leave."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

COMMAND = [sys.executable, "-c", "import sys; from actionclip_jax import cli; sys.exit(cli.main())"]


def start(arguments, *, devices=1):
    """`actionclip ARGUMENTS` on so many virtual CPU devices, in a process group of its own; output is one text."""
    variables = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(arguments, *, timeout=300):
    """Exit code and output of `actionclip ARGUMENTS`; a command that takes longer than `timeout` seconds hangs."""
    (end,) = wait([start(arguments)], timeout)
    return end


def wait(started, timeout=240):
    """Exit codes and outputs; processes that take longer hang."""
    end, ends = time.monotonic() + timeout, []
    for process in started:
        try:
            said, _ = process.communicate(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            for other in started:
                other.kill()
            raise AssertionError(f"hung: no end after {timeout:.0f} s") from None
        ends.append((process.returncode, said))
    return ends


@contextlib.contextmanager
def no_leftovers(started):
    """Kills what is left in the process groups, whatever happens."""
    try:
        yield
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def children(pid):
    """Processes started by a process, and by those."""
    pids = []
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(file.read_text().rpartition(")")[2].split()[1]) == pid:
                pids += [int(file.parent.name), *children(int(file.parent.name))]
    return pids


def loader_workers(pid):
    """The processes below a run that read data: not the one that keeps track of shared memory."""
    pids = []
    for child in children(pid):
        line = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "resource_tracker" not in line and "forkserver" not in line.split(";")[0]:
            pids.append(child)
    assert pids, f"no loader workers among {children(pid)}"
    return pids


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def last_line(said):
    """The last line of a command's output."""
    return said.strip().splitlines()[-1]
