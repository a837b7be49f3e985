"""Breaks things and looks what happens. Faults are really injected: processes are killed, bytes flipped, disks full.

A test is a fault; what happened is a row of the table at the end: `pytest tests/faults -m faults`.
"""

import functools
import os
import pathlib
import signal
import tempfile

import command
import pytest
import rich.console
import rich.markup
import rich.table
import short_run

PLACE = pathlib.Path(__file__).parent
COLOURS = {"passed": "green", "failed": "bold red", "error": "bold red", "skipped": "yellow"}


@pytest.fixture
def folder():
    """An empty folder, gone afterwards: faults fill theirs with gigabytes."""
    with tempfile.TemporaryDirectory(prefix="actionclip-fault-") as path:
        yield pathlib.Path(path)


@pytest.fixture
def happened(record_property):
    """`happened(text)` says in the table what came of the fault."""
    return functools.partial(record_property, "happened")


@pytest.fixture(scope="session")
def config_file(sample, tmp_path_factory):
    """The configuration of a short run."""
    return short_run.write_config(tmp_path_factory.mktemp("config"), sample)


@pytest.fixture
def new_run(config_file, folder):
    """`new_run(**changes)` is a short run in the folder, not yet started."""
    return functools.partial(short_run.Run, config_file, folder / "run")


@pytest.fixture(scope="session")
def undisturbed(config_file, tmp_path_factory):
    """`undisturbed(processes, **changes)` is a run that nothing happens to, made once for all that compare with it."""

    @functools.cache
    def make(processes=1, **changes):
        run = short_run.Run(config_file, tmp_path_factory.mktemp("undisturbed") / "run", **changes)
        run.finish(processes)
        return run

    return make


@pytest.fixture(scope="session")
def stopped(config_file, tmp_path_factory):
    """A run that was stopped after its fourth checkpoint."""
    run = short_run.Run(config_file, tmp_path_factory.mktemp("stopped") / "run")
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(18, started)
        process.send_signal(signal.SIGTERM)
        command.wait(started)
    assert len(run.saved) >= 3, f"only checkpoints {run.saved}"
    return run


@pytest.fixture
def soak_minutes():
    """Minutes for which a soak test trains; it reads 2,500 clips for each."""
    return float(os.environ.get("ACTIONCLIP_SOAK_MINUTES", "4"))


def pytest_terminal_summary(terminalreporter):
    """Prints the table."""
    table = rich.table.Table("fault", "happened", "s", "")
    for outcome, colour in COLOURS.items():
        for report in terminalreporter.stats.get(outcome, ()):
            if not (terminalreporter.config.rootpath / report.nodeid.partition("::")[0]).is_relative_to(PLACE):
                continue
            cells = (describe(report.nodeid), shorten(tell(report)), f"{report.duration:.1f}")
            table.add_row(*map(rich.markup.escape, cells), f"[{colour}]{outcome}")
    if table.row_count:
        rich.console.Console(width=160, highlight=False).print(table)


def describe(nodeid):
    """`tests/faults/test_a_b.py::test_c_d[e]` -> `a b: c d: e`."""
    file, _, test = nodeid.partition("::")
    name, _, case = test.removesuffix("]").partition("[")
    words = (pathlib.Path(file).stem, name)
    return ": ".join([*(word.removeprefix("test_").replace("_", " ") for word in words), *filter(None, [case])])


def tell(report):
    """What happened, or why it should not have, or why it did not."""
    if report.passed:
        return dict(report.user_properties).get("happened", "")
    if report.skipped:
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else report.longreprtext


def shorten(text):
    """At most 500 characters, the last ones of what is longer."""
    return text if len(text) <= 500 else f"... {text[-500:]}"
