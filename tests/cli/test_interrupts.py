"""Ctrl-C ends a command with its exit code and one line, wherever it comes."""

import contextlib
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

import command
import pytest

from actionclip_jax import cli
from actionclip_jax.cli import inspect, interrupts

TASK = """
import os, signal, sys, time
from actionclip_jax import cli, progress
from actionclip_jax.cli import inspect, interrupts, terminal

class Swallowing:
    def __del__(self):  # where Python drops exceptions
        os.kill(os.getpid(), signal.SIGINT)

def execute(options):
    where = sys.argv[2]
    if where == "anywhere":
        Swallowing()
    elif where == "task":
        with terminal.progress_line():
            os.kill(os.getpid(), signal.SIGINT)
            print("goes on")
            progress.Progress("counting", 2).advance()
    elif where == "stuck":
        interrupts.PATIENCE_SECONDS = 0.2
        with terminal.progress_line():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
    elif where == "end":
        with terminal.progress_line():
            os.kill(os.getpid(), signal.SIGINT)
    print("too far")
    return 0

inspect.execute = execute
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("where", "printed"), [("anywhere", ""), ("task", "goes on\n"), ("stuck", ""), ("end", "")])
def test_ctrl_c_ends_a_command_at_once_or_where_its_task_can_stop(where, printed):
    ended = subprocess.run(
        [sys.executable, "-c", TASK, "inspect", where], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, printed, "stopped\n")


def test_what_a_command_says_that_another_calls_is_said_once(monkeypatch, capfd):
    logger, told = logging.getLogger("actionclip_jax"), logging.getLogger("actionclip_jax.data")
    before = list(logger.handlers), logger.level, logger.propagate

    def execute(options):
        if options.path == "outer":
            assert cli.main(["inspect", "inner"]) == 0
        told.info(options.path)
        return 0

    monkeypatch.setattr(inspect, "execute", execute)
    assert cli.main(["inspect", "outer"]) == 0
    assert capfd.readouterr().err == "inner\nouter\n"
    assert (logger.handlers, logger.level, logger.propagate) == before


def test_a_task_without_ctrl_c_is_not_stopped():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.stoppable() as check:
        check()
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def running(group):
    """The processes of a group that are no zombies."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            state, _, its_group = file.read_text().rpartition(") ")[2].split()[:3]
            found += [file.parent.name] if state != "Z" and its_group == str(group) else []
    return found


@pytest.mark.parametrize("when", ["it starts", "its workers start"])
def test_ctrl_c_in_all_processes_of_a_command_leaves_no_traceback_and_no_worker(when, sample, tmp_path):
    arguments = ["prepare", sample, str(tmp_path / "out"), "--split", "train"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command.COMMAND, *arguments], start_new_session=True, **piped)
    if when == "it starts":
        time.sleep(0.3)
    else:
        while process.poll() is None and not (tmp_path / "out" / "dataset.json").exists():
            time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "stopped\n") and process.returncode == 130
    deadline = time.monotonic() + 20
    while running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(process.pid) == []
