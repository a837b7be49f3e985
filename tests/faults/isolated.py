"""Runs a function in a process of its own and says what became of it, how long it took and how much memory."""

import dataclasses
import multiprocessing
import os
import pathlib
import re
import time

SECONDS, MEGABYTES = 60, 2000  # what nothing untrusted may take more than
MARKER = "code-ran"  # the file that hostile code would make in the folder of the fault
LIBRARIES = [
    "actionclip_jax.inference.predict",
    "actionclip_jax.evaluation.features",
    "actionclip_jax.data.sources.opening",
    "actionclip_jax.config.config_file",
    "torch",
]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a function did."""

    returned: str
    error: str | None  # the message, or None where nothing was raised
    known: bool  # whether the command would print the error rather than a traceback
    seconds: float
    megabytes: int  # more than before

    def __str__(self):
        said = self.returned if self.error is None else " ".join(self.error.split())
        return f"{said[:160]} ({self.seconds:.1f} s, {self.megabytes} MB)"


def run(function, *arguments):
    """What the importable `function(*arguments)` does. Fails when it hangs or takes too much."""
    context = multiprocessing.get_context("forkserver")  # forks of a process that has the libraries, and no threads
    context.set_forkserver_preload(LIBRARIES)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        outcome = receiver.recv() if receiver.poll(SECONDS) else None
    except EOFError:
        process.join()
        raise AssertionError(f"the process died with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    assert outcome, f"hung: no end after {SECONDS} s"
    assert outcome.megabytes <= MEGABYTES, f"took {outcome.megabytes} MB: {outcome}"
    return outcome


def _work(sender, function, arguments):
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before, begin, error, returned = _peak(), time.perf_counter(), None, ""
    try:
        returned = str(function(*arguments))
    except BaseException as raised:
        error = raised
    message = None if error is None else f"{type(error).__name__}: {error}"
    known = isinstance(error, ValueError | OSError)
    sender.send(Outcome(returned, message, known, time.perf_counter() - begin, _peak() - before))


def _peak():
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def refused(folder, make, use, reason=""):
    """Expects `use(make(folder))` to be an error that says `reason` (a regex); returns what happened."""
    made = make(folder)
    outcome = run(use, made)
    assert not (folder / MARKER).exists(), f"code ran: {outcome}"
    assert outcome.error is not None, f"accepted: {outcome}"
    assert outcome.known, f"a traceback: {outcome}"
    name = made.name if isinstance(made, pathlib.Path) else ""
    assert name in outcome.error and re.search(reason, outcome.error), f"does not say why: {outcome}"
    assert len(outcome.error) < 20_000, f"an error of {len(outcome.error)} characters: {outcome}"
    return str(outcome)


def survived(folder, make, use, result=""):
    """Expects `use(make(folder))` to go on, and to return or explain `result` (a regex); returns what happened."""
    outcome = run(use, make(folder))
    assert not (folder / MARKER).exists(), f"code ran: {outcome}"
    assert outcome.error is None or outcome.known, f"a traceback: {outcome}"
    said = outcome.returned if outcome.error is None else outcome.error
    assert re.search(result, said), f"another result: {outcome}"
    return str(outcome)


def hostile_code(folder):
    """What an object's __reduce__ returns to make the marker in the folder."""
    return os.system, (f"touch '{folder / MARKER}'",)
