"""Faults of a run in one process: kills, signals, hangs, lost workers, bad numbers, full disks."""

import os
import pathlib
import random
import re
import signal
import subprocess
import time

import command
import pytest

pytestmark = pytest.mark.faults

KILLS = 20
TERM, INT = signal.SIGTERM, signal.SIGINT


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_undisturbed(new_run, undisturbed, happened):
    """kill -9, also while checkpoints are written, until it has happened often enough."""
    run, rng = new_run(optim__steps=400), random.Random(0)
    reached = []
    for _ in range(KILLS):
        (process,) = started = run.start()
        with command.no_leftovers(started):
            run.wait_for_step(max(run.saved, default=0) + rng.randint(1, 16), started)
            time.sleep(rng.uniform(0, 0.3))
            assert process.poll() is None, f"the run ended by itself after {len(reached)} kills: {reached}"
            process.kill()
            process.wait()
        reached.append(max(run.losses()))
    run.finish()
    run.expect_same_end(undisturbed(optim__steps=400))
    lost = run.time()["seconds"]["lost"]
    happened(f"killed at steps {reached}; then bit for bit the undisturbed run's end; {lost:.0f} s lost")


@pytest.mark.parametrize(
    ("send", "code"),
    [
        pytest.param([TERM], 75, id="SIGTERM"),
        pytest.param([TERM] * 20, 75, id="SIGTERM, again while saving"),
        pytest.param([INT], 130, id="Ctrl-C"),
    ],
)
def test_a_signal_saves_and_ends(new_run, undisturbed, happened, send, code):
    run = new_run()
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(13, started)
        begin = time.monotonic()
        for number in send:
            process.send_signal(number)
            time.sleep(0.02)
        ((ended, said),) = command.wait(started)
    seconds, step = time.monotonic() - begin, max(run.losses())
    assert ended == code, f"exit code {ended}: {said[-500:]}"
    assert run.saved[-1] == step, f"stopped after step {step}, but the newest checkpoint is of {run.saved[-1]}"
    run.finish()
    run.expect_same_end(undisturbed())
    happened(f"saved step {step} and ended with {code} in {seconds:.1f} s; went on to the undisturbed run's end")


def test_sigterm_while_evaluating_saves_and_ends(new_run, undisturbed, happened):
    """After the fifth step, when an evaluation of 48 batches begins."""
    changes = {"eval_every_epochs": 0.84, "data__eval_batch_size": 1}
    run = new_run(**changes)
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(5, started)
        process.send_signal(TERM)
        ((code, said),) = command.wait(started)
    assert code == 75, f"exit code {code}: {said[-500:]}"
    step, rows = max(run.losses()), (run.workdir / "metrics.jsonl").read_text()
    assert step == 5 and '"evaluation": {' not in rows, f"the evaluation went on, or there was none: step {step}"
    run.finish()
    run.expect_same_end(undisturbed(**changes))
    happened(f"stopped at step {step} with its checkpoint {run.saved}; the evaluation was made good on the next start")


def test_sigterm_to_loader_workers_as_well_saves_and_ends(new_run, undisturbed, happened):
    """As clusters send it."""
    run = new_run(data__loader__workers=2)
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(8, started)
        os.killpg(process.pid, TERM)
        ((code, said),) = command.wait(started)
    assert code == 75, f"exit code {code}: {said[-500:]}"
    run.finish()
    run.expect_same_end(undisturbed())
    happened("saved and ended with 75, workers too; went on to the undisturbed run's end")


def test_a_second_run_on_a_workdir_is_refused(new_run, happened):
    run = new_run(optim__steps=400)
    started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(1, started)
        code, said = command.run(run.arguments)
        assert code == 2 and "another run is using it" in said, f"exit code {code}: {said[-500:]}"
        assert started[0].poll() is None, "the first run was disturbed"
        run.wait_for_step(max(run.losses()) + 5, started)
    happened(command.last_line(said))


def test_a_killed_loader_worker_is_an_error_in_seconds(new_run, happened):
    run = new_run(data__loader__workers=1, optim__steps=4000)
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(3, started)
        begin = time.monotonic()
        os.kill(command.loader_workers(process.pid)[0], signal.SIGKILL)
        ((code, said),) = command.wait(started, timeout=60)
    assert code not in (0, 2, 3, 75), f"exit code {code}: {said[-500:]}"
    happened(f"ended with {code} in {time.monotonic() - begin:.1f} s: {command.last_line(said)}")


def test_loader_workers_of_a_killed_run_do_not_stay(new_run, happened):
    run = new_run(data__loader__workers=2, optim__steps=4000)
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(3, started)
        workers = command.children(process.pid)
        process.kill()
        begin = time.monotonic()
        while left := [worker for worker in workers if command.alive(worker)]:
            late = time.monotonic() > begin + 10
            assert not late, f"{len(left)} of {len(workers)} workers are still there after 10 s"
            time.sleep(0.05)
    happened(f"{len(workers)} processes gone {time.monotonic() - begin:.1f} s after their parent")


def test_a_hang_shows_stacks_and_ends(new_run, happened):
    """A loader worker that stops answering, as on a dead file system."""
    run = new_run(data__loader__workers=1, data__loader__read_ahead=1, optim__steps=4000, hang_seconds=10)
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(8, started)
        workers, begin = command.loader_workers(process.pid), time.monotonic()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        code = process.wait(timeout=120)
        seconds = time.monotonic() - begin
        for worker in workers:  # stopped as they are, they could not notice that their parent has gone
            os.kill(worker, signal.SIGKILL)
        said, _ = process.communicate(timeout=30)
    assert code == 1 and "most recent call first" in said, f"exit code {code}: {said[-500:]}"
    assert "training/loop.py" in said and " in __next__" in said, f"the stacks do not show where: {said[-500:]}"
    happened(f"stacks of {said.count('most recent call first')} threads, exit code 1 after {seconds:.0f} s")


def test_a_loss_that_is_not_finite_stops_the_run(new_run, happened):
    """A learning rate that makes every number infinite."""
    run = new_run(optim__lr=1e30, optim__warmup_epochs=0.0, optim__max_skipped=3, checkpoint__every_epochs=0.1)
    code, said = command.run(run.arguments)
    assert code == 3 and "last good checkpoint: " in said, f"exit code {code}: {said[-500:]}"
    good = re.search(r"last good checkpoint: (\S+)\. Lower", said)
    assert good and pathlib.Path(good[1]).is_dir(), f"no last good checkpoint is named: {said[-500:]}"
    happened(command.last_line(said))


def test_a_full_disk_stops_the_run_and_leaves_old_checkpoints_whole(new_run, undisturbed, happened):
    """A file system with room for two checkpoints and a bit."""
    run = new_run(checkpoint__keep_last=9)
    run.workdir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=110m", "tmpfs", str(run.workdir)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr}")
    try:
        code, said = command.run(run.arguments)
        assert code == 3 and "last good checkpoint" in said, f"exit code {code}: {said[-1500:]}"
        kept = run.saved
        assert kept, "no checkpoint was kept"
        subprocess.run(["mount", "-o", "remount,size=2g", str(run.workdir)], check=True)
        again = run.finish()
        assert f"goes on from step {kept[-1]} " in again, again[-500:]
        run.expect_same_end(undisturbed())
    finally:
        subprocess.run(["umount", str(run.workdir)], check=True)
    last = command.last_line(said)
    happened(f"ended with 3 and {kept} whole; with more room went on to the undisturbed run's end: {last}")


@pytest.mark.slow  # the seconds that Python takes to start count against it: for a machine that does nothing else
def test_the_time_of_a_kill_a_pause_and_a_restart_is_accounted_for(new_run, happened):
    run = new_run(optim__steps=600)  # long enough for 3% of it to hold what nobody counts of two processes
    first = time.time()
    (process,) = started = run.start()
    with command.no_leftovers(started):
        run.wait_for_step(38, started)
        process.kill()
        process.wait()
    time.sleep(5)
    run.finish()
    total, spent = time.time() - first, run.time()["seconds"]
    named = sum(spent.values())
    assert abs(named - total) < 0.03 * total, f"{named:.1f} s named of {total:.1f} s"
    assert spent["lost"] > 0 and 4.5 < spent["down"] < 9, f"lost {spent['lost']:.1f}, down {spent['down']:.1f}"
    # the first moments of a process, before its program begins, and its last ones are nobody's
    wall = run.time()["last"] - run.time()["first"]
    assert abs(named - wall) < 0.01 * wall, f"{named:.2f} s named of {wall:.2f} s between first and last"
    listed = ", ".join(f"{name} {value:.1f}" for name, value in spent.items())
    happened(f"{named:.1f} s named of {wall:.1f} s ({total:.1f} s from outside): {listed}")
