"""Faults of runs in several processes (gloo, CPU): signals, lost and stopped peers, other numbers of hosts."""

import functools
import os
import pathlib
import signal
import time

import checkpoints
import harness
import numpy as np
import runs
import tiny
from harness import expect


@functools.cache
def undisturbed_two() -> tiny.Run:
    """A run in two processes that nothing happens to, made once."""
    run = tiny.Run(tiny.config_file().parent, "two")
    run.finish(processes=2)
    return run


def stop_one(folder: pathlib.Path, which: int, times: int) -> str:
    """SIGTERM to one of two."""
    run = tiny.Run(folder)
    started = run.start(processes=2)
    with tiny.no_leftovers(started):
        run.wait_for_step(8, started)
        begin = time.monotonic()
        for _ in range(times):
            started[which].send_signal(signal.SIGTERM)
            time.sleep(0.1)
        ends = tiny.wait(started)
    seconds = time.monotonic() - begin
    expect([code for code, _ in ends] == [75, 75], f"exit codes {[code for code, _ in ends]}: {ends[0][1][-500:]}")
    step = run.saved[-1]
    expect(step == max(run.losses()), f"the newest checkpoint is of step {step}, of {max(run.losses())}")
    run.finish(processes=2)
    run.same_end(undisturbed_two())
    return f"both saved step {step} and ended with 75 in {seconds:.1f} s; went on to the undisturbed run's end"


def lose_one(folder: pathlib.Path, which: int, number: int, most: float) -> str:
    """kill -9 or SIGSTOP to one of two: the other ends soon, and a new start goes on."""
    run = tiny.Run(folder)
    started = run.start(processes=2)
    with tiny.no_leftovers(started):
        run.wait_for_step(8, started)
        started[which].send_signal(number)
        begin = time.monotonic()
        ((code, said),) = tiny.wait([started[1 - which]], timeout=most)
        seconds = time.monotonic() - begin
    expect(code not in (0, 2, 3, 75, 130), f"exit code {code}: {said[-500:]}")
    run.finish(processes=2)
    run.same_end(undisturbed_two())
    return f"the other ended with {code} after {seconds:.1f} s; a new start went on to the undisturbed run's end"


def lose_a_worker_of_one(folder: pathlib.Path) -> str:
    """The loader worker of one of two processes is killed: both end."""
    run = tiny.Run(folder, data__loader__workers=1, optim__steps=4000)
    started = run.start(processes=2)
    with tiny.no_leftovers(started):
        run.wait_for_step(3, started)
        begin = time.monotonic()
        os.kill(runs.loader_workers(started[1].pid)[0], signal.SIGKILL)
        ends = tiny.wait(started, timeout=90)
    codes = [code for code, _ in ends]
    expect(not {0, 2, 3, 75, 130} & set(codes), f"exit codes {codes}: {ends[1][1][-500:]}")
    return f"exit codes {codes} in {time.monotonic() - begin:.1f} s"


def start_twice(folder: pathlib.Path) -> str:
    """A second run of two processes on a workdir in use: both are refused."""
    run = tiny.Run(folder, optim__steps=4000)
    started = run.start(processes=2)
    with tiny.no_leftovers(started):
        run.wait_for_step(1, started)
        ends = tiny.wait(run.start(processes=2), timeout=120)
        expect(all("another run is using it" in said for _, said in ends), f"{ends[0][1][-400:]} {ends[1][1][-400:]}")
        codes = [code for code, _ in ends]
        expect(codes == [2, 2], f"exit codes {codes}")
    return f"exit codes {codes}"


def damage_one(folder: pathlib.Path, damage: checkpoints.Damage) -> str:
    """Two processes find a damaged checkpoint and agree on the one before."""
    run = checkpoints.copy_stopped(folder)
    newest, good = run.saved[-1], run.saved[-2]
    damage(run.checkpoint(newest))
    said = run.finish(processes=2)
    expect(f"goes on from step {good} " in said, said[-500:])
    aside = [path.name for path in (run.workdir / "damaged_checkpoints").iterdir()]
    expect(aside == [str(newest)], f"set aside: {aside}")
    return f"{aside} set aside, both went on from {good}"


def change_hosts(folder: pathlib.Path) -> str:
    """2 processes, then 1, then 4, in 100 steps, against one process throughout."""
    whole, run = tiny.undisturbed(optim__steps=100), tiny.Run(folder, optim__steps=100)
    for processes, until in ((2, 30), (1, 60)):
        started = run.start(processes)
        with tiny.no_leftovers(started):
            run.wait_for_step(until, started)
            started[-1].send_signal(signal.SIGTERM)
            for code, said in tiny.wait(started):
                expect(code == 75, f"exit code {code}: {said[-500:]}")
    changed = [max(run.losses())]
    run.finish(processes=4)
    ours, theirs = run.losses(), whole.losses()
    expect(ours.keys() == theirs.keys(), "not the same steps")
    worst = max(abs(ours[step] / theirs[step] - 1) for step in theirs)
    expect(worst < 1e-3, f"losses differ by {worst:.1e}")
    return f"losses of 100 steps within {worst:.1e} of one process's (hosts changed last after step {changed[0]})"


def compare_two_with_one(folder: pathlib.Path) -> str:
    """No fault: 2 processes x 4 devices train like 1 process x 8 devices."""
    one, two = (tiny.Run(folder, name, optim__steps=20) for name in ("one", "two"))
    one.finish(processes=1, devices=8)
    two.finish(processes=2, devices=4)
    ours, theirs = two.losses(), one.losses()
    worst = max(abs(ours[step] / theirs[step] - 1) for step in theirs)
    expect(worst < 1e-5 and len(ours) == 20, f"losses differ by {worst:.1e}")
    from actionclip_jax.checkpoints import model_directory

    first, second = (model_directory.load(run.workdir / "model").params for run in (one, two))
    difference = max(float(np.abs(first[path] - second[path]).max()) for path in first if "qkv/bias" not in path)
    return f"losses of 20 steps within {worst:.1e}, weights within {difference:.1e}"


KILL, STOP = signal.SIGKILL, signal.SIGSTOP
FAULTS = [
    harness.Fault("2 x 4 devices", "as 1 x 8 devices, 1e-5", compare_two_with_one),
    harness.Fault("SIGTERM to the second", "both saved, 75", functools.partial(stop_one, which=1, times=1)),
    harness.Fault("SIGTERM to the first, 10 times", "both saved, 75", functools.partial(stop_one, which=0, times=10)),
    harness.Fault(
        "second killed", "first ends, run goes on", functools.partial(lose_one, which=1, number=KILL, most=60)
    ),
    harness.Fault(
        "first killed", "second ends, run goes on", functools.partial(lose_one, which=0, number=KILL, most=60)
    ),
    harness.Fault("second stops moving", "first ends", functools.partial(lose_one, which=1, number=STOP, most=60)),
    harness.Fault("first stops moving", "second ends", functools.partial(lose_one, which=0, number=STOP, most=60)),
    harness.Fault("killed loader worker of one", "both end", lose_a_worker_of_one),
    harness.Fault("second run on one workdir", "both refused, 2", start_twice),
    harness.Fault(
        "one flipped bit", "both use the one before", functools.partial(damage_one, damage=checkpoints.flip_a_byte)
    ),
    harness.Fault(
        "arrays gone",
        "both use the one before",
        functools.partial(damage_one, damage=checkpoints.DAMAGES["arrays' file gone"]),
    ),
    harness.Fault("2, then 1, then 4 processes", "losses within 1e-3", change_hosts),
]
