"""Faults of a run in one process: kills, signals, hangs, lost workers, bad numbers, full disks."""

import functools
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import harness
import tiny
from harness import expect

KILLS = 20


def kill_again_and_again(folder: pathlib.Path) -> str:
    """kill -9 at random moments, also while checkpoints are written, until it has happened often enough."""
    whole, broken, rng = tiny.undisturbed(optim__steps=400), tiny.Run(folder, optim__steps=400), random.Random(0)
    reached = []
    for _ in range(KILLS):
        (process,) = started = broken.start()
        with tiny.no_leftovers(started):
            broken.wait_for_step(max(broken.saved, default=0) + rng.randint(1, 16), started)
            time.sleep(rng.uniform(0, 0.3))
            expect(process.poll() is None, f"the run ended by itself after {len(reached)} kills: {reached}")
            process.kill()
            process.wait()
        reached.append(max(broken.losses()))
    broken.finish()
    broken.same_end(whole)
    spent = broken.time()
    return (
        f"killed at steps {reached}; then bit for bit the undisturbed run's end; {spent['seconds']['lost']:.0f} s lost"
    )


def stop(folder: pathlib.Path, send: list[int], code: int) -> str:
    """One or more signals in quick succession, the later ones while the first one's checkpoint is written."""
    whole, broken = tiny.undisturbed(), tiny.Run(folder)
    (process,) = started = broken.start()
    with tiny.no_leftovers(started):
        broken.wait_for_step(13, started)
        begin = time.monotonic()
        for number in send:
            process.send_signal(number)
            time.sleep(0.02)
        ((found, said),) = tiny.wait(started)
    seconds, step = time.monotonic() - begin, max(broken.losses())
    expect(found == code, f"exit code {found}: {said[-500:]}")
    expect(broken.saved[-1] == step, f"stopped after step {step}, but the newest checkpoint is of {broken.saved[-1]}")
    broken.finish()
    broken.same_end(whole)
    return f"saved step {step} and ended with {code} in {seconds:.1f} s; went on to the undisturbed run's end"


def stop_while_evaluating(folder: pathlib.Path) -> str:
    """SIGTERM after the fifth step, when an evaluation of 48 batches begins."""
    settings = {"eval_every_epochs": 0.84, "data__eval_batch_size": 1}
    whole, broken = tiny.undisturbed(**settings), tiny.Run(folder, **settings)
    (process,) = started = broken.start()
    with tiny.no_leftovers(started):
        broken.wait_for_step(5, started)
        process.send_signal(signal.SIGTERM)
        ((code, said),) = tiny.wait(started)
    expect(code == 75, f"exit code {code}: {said[-500:]}")
    step, rows = max(broken.losses()), (broken.workdir / "metrics.jsonl").read_text()
    expect(step == 5 and '"evaluation": {' not in rows, f"the evaluation went on, or there was none: step {step}")
    broken.finish()
    broken.same_end(whole)
    return f"stopped at step {step} with its checkpoint {broken.saved}; the evaluation was made good on the next start"


def stop_the_group(folder: pathlib.Path) -> str:
    """SIGTERM to the run and its loader workers alike, as clusters send it."""
    broken = tiny.Run(folder, data__loader__workers=2)
    (process,) = started = broken.start()
    with tiny.no_leftovers(started):
        broken.wait_for_step(8, started)
        os.killpg(process.pid, signal.SIGTERM)
        ((code, said),) = tiny.wait(started)
    expect(code == 75, f"exit code {code}: {said[-500:]}")
    broken.finish()
    broken.same_end(tiny.undisturbed())
    return "saved and ended with 75, workers too; went on to the undisturbed run's end"


def start_twice(folder: pathlib.Path) -> str:
    """A second run on a workdir in use."""
    run = tiny.Run(folder, optim__steps=400)
    started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(1, started)
        code, said = harness.run(run.arguments)
        expect(code == 2 and "another run is using it" in said, f"exit code {code}: {said[-500:]}")
        expect(started[0].poll() is None, "the first run was disturbed")
        before = max(run.losses())
        run.wait_for_step(before + 5, started)
    return last_line(said)


def lose_a_worker(folder: pathlib.Path) -> str:
    """kill -9 to a loader worker."""
    run = tiny.Run(folder, data__loader__workers=1, optim__steps=4000)
    (process,) = started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(3, started)
        begin = time.monotonic()
        os.kill(loader_workers(process.pid)[0], signal.SIGKILL)
        ((code, said),) = tiny.wait(started, timeout=60)
    expect(code not in (0, 2, 3, 75), f"exit code {code}: {said[-500:]}")
    return f"ended with {code} in {time.monotonic() - begin:.1f} s: {last_line(said)}"


def lose_the_parent(folder: pathlib.Path) -> str:
    """kill -9 to the run: its loader workers must not stay."""
    run = tiny.Run(folder, data__loader__workers=2, optim__steps=4000)
    (process,) = started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(3, started)
        workers = tiny.children(process.pid)
        process.kill()
        begin = time.monotonic()
        while any(tiny.alive(worker) for worker in workers):
            left = [worker for worker in workers if tiny.alive(worker)]
            expect(time.monotonic() < begin + 10, f"{len(left)} of {len(workers)} workers are still there after 10 s")
            time.sleep(0.05)
    return f"{len(workers)} processes gone {time.monotonic() - begin:.1f} s after their parent"


def hang(folder: pathlib.Path) -> str:
    """A loader worker that stops answering, as on a dead file system."""
    run = tiny.Run(folder, data__loader__workers=1, data__loader__read_ahead=1, optim__steps=4000, hang_seconds=3)
    (process,) = started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(8, started)
        workers, begin = loader_workers(process.pid), time.monotonic()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        code = process.wait(timeout=120)
        seconds = time.monotonic() - begin
        for worker in workers:  # stopped as they are, they could not notice that their parent has gone
            os.kill(worker, signal.SIGKILL)
        said, _ = process.communicate(timeout=30)
    expect(code == 1 and "most recent call first" in said, f"exit code {code}: {said[-500:]}")
    expect("next_batch" in said, f"the stacks do not show where: {said[-500:]}")
    return f"stacks of {said.count('most recent call first')} threads, exit code 1 after {seconds:.0f} s"


def diverge(folder: pathlib.Path) -> str:
    """A learning rate that makes every number infinite."""
    run = tiny.Run(folder, optim__lr=1e30, optim__warmup_epochs=0.0, optim__max_skipped=3, checkpoint__every_epochs=0.1)
    code, said = harness.run(run.arguments)
    expect(code == 3 and "last good checkpoint: " in said, f"exit code {code}: {said[-500:]}")
    good = re.search(r"last good checkpoint: (\S+)\. Lower", said)
    expect(bool(good) and pathlib.Path(good[1]).is_dir(), f"no last good checkpoint is named: {said[-500:]}")
    return last_line(said)


def fill_the_disk(folder: pathlib.Path) -> str:
    """A file system with room for two checkpoints and a bit."""
    run = tiny.Run(folder, checkpoint__keep_last=9)
    run.workdir.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=110m", "tmpfs", str(run.workdir)], capture_output=True, text=True
    )
    expect(not mounted.returncode, f"needs the right to mount: {mounted.stderr}")
    try:
        code, said = harness.run(run.arguments)
        expect(code == 3 and "last good checkpoint" in said, f"exit code {code}: {said[-1500:]}")
        kept = run.saved
        expect(len(kept) >= 1, f"kept {kept}")
        subprocess.run(["mount", "-o", "remount,size=2g", str(run.workdir)], check=True)
        again = run.finish()
        expect(f"goes on from step {kept[-1]} " in again, again[-500:])
        run.same_end(tiny.undisturbed())
    finally:
        subprocess.run(["umount", str(run.workdir)], check=True)
    return f"ended with 3 and {kept} whole; with more room went on to the undisturbed run's end: {last_line(said)}"


def account_for_time(folder: pathlib.Path) -> str:
    """A kill, a pause and a restart: where did the time go?"""
    run = tiny.Run(folder, optim__steps=120)
    first = time.time()
    (process,) = started = run.start()
    with tiny.no_leftovers(started):
        run.wait_for_step(38, started)
        process.kill()
        process.wait()
    time.sleep(5)
    run.finish()
    total, spent = time.time() - first, run.time()["seconds"]
    named = sum(spent.values())
    expect(abs(named - total) < 0.03 * total, f"{named:.1f} s named of {total:.1f} s")
    expect(spent["lost"] > 0 and 4.5 < spent["down"] < 9, f"lost {spent['lost']:.1f}, down {spent['down']:.1f}")
    # the first moments of a process, before its program begins, and its last ones are nobody's
    wall = run.time()["last"] - run.time()["first"]
    expect(abs(named - wall) < 0.01 * wall, f"{named:.2f} s named of {wall:.2f} s between first and last")
    listed = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    return f"{named:.1f} s named of {wall:.1f} s ({total:.1f} s from outside): {listed}"


def loader_workers(pid: int) -> list[int]:
    """The processes below a run that read data: not the one that keeps track of shared memory."""
    found = []
    for child in tiny.children(pid):
        command = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if "resource_tracker" not in command and "forkserver" not in command.split(";")[0]:
            found.append(child)
    expect(bool(found), f"no loader workers among {tiny.children(pid)}")
    return found


def last_line(said: str) -> str:
    """The last line of a command's output."""
    return said.strip().splitlines()[-1]


TERM, INT = signal.SIGTERM, signal.SIGINT
FAULTS = [
    harness.Fault(f"kill -9, {KILLS} times", "same end as undisturbed", kill_again_and_again),
    harness.Fault("SIGTERM", "saved, 75", functools.partial(stop, send=[TERM], code=75)),
    harness.Fault("SIGTERM, again while saving", "saved, 75", functools.partial(stop, send=[TERM] * 20, code=75)),
    harness.Fault("Ctrl-C", "saved, 130", functools.partial(stop, send=[INT], code=130)),
    harness.Fault("SIGTERM while evaluating", "saved, 75", stop_while_evaluating),
    harness.Fault("SIGTERM to loader workers as well", "saved, 75", stop_the_group),
    harness.Fault("second run on one workdir", "refused, 2", start_twice),
    harness.Fault("killed loader worker", "error in seconds", lose_a_worker),
    harness.Fault("killed parent", "no orphans", lose_the_parent),
    harness.Fault("hang", "stacks, then the end", hang),
    harness.Fault("loss not finite", "stopped, 3", diverge),
    harness.Fault("full disk", "stopped, 3, old ones whole", fill_the_disk),
    harness.Fault("kill and restart: time", "buckets add up within 1%", account_for_time),
]
