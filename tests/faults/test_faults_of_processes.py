"""Faults of runs in several processes (gloo, CPU): signals, lost and stopped peers, other numbers of hosts."""

import os
import signal
import time

import command
import damages
import numpy as np
import pytest
import short_run

pytestmark = [pytest.mark.faults, pytest.mark.slow]  # `make test-faults` alone runs them


SLOW = pytest.mark.slow  # like another, and half a minute of two cores or more


@pytest.mark.parametrize(
    ("which", "times"),
    [pytest.param(1, 1, id="to the second"), pytest.param(0, 10, id="to the first, 10 times", marks=SLOW)],
)
def test_sigterm_saves_and_ends_both_with_75(new_run, undisturbed, happened, which, times):
    run = new_run()
    started = run.start(processes=2)
    with command.no_leftovers(started):
        run.wait_for_step(8, started)
        begin = time.monotonic()
        for _ in range(times):
            started[which].send_signal(signal.SIGTERM)
            time.sleep(0.1)
        ends = command.wait(started)
    seconds = time.monotonic() - begin
    assert [code for code, _ in ends] == [75, 75], f"exit codes {[code for code, _ in ends]}: {ends[0][1][-500:]}"
    step = run.saved[-1]
    assert step == max(run.losses()), f"the newest checkpoint is of step {step}, of {max(run.losses())}"
    run.finish(processes=2)
    run.expect_same_end(undisturbed(processes=2))
    happened(f"both saved step {step} and ended with 75 in {seconds:.1f} s; went on to the undisturbed run's end")


@pytest.mark.parametrize(
    ("which", "number"),
    [
        pytest.param(1, signal.SIGKILL, id="second killed"),
        pytest.param(0, signal.SIGKILL, id="first killed", marks=SLOW),
        pytest.param(1, signal.SIGSTOP, id="second stops moving", marks=SLOW),
        pytest.param(0, signal.SIGSTOP, id="first stops moving"),
    ],
)
def test_the_other_ends_within_a_minute_and_a_new_start_goes_on(new_run, undisturbed, happened, which, number):
    run = new_run()
    started = run.start(processes=2)
    with command.no_leftovers(started):
        run.wait_for_step(8, started)
        started[which].send_signal(number)
        begin = time.monotonic()
        ((code, said),) = command.wait([started[1 - which]], timeout=60)
        seconds = time.monotonic() - begin
    assert code not in (0, 2, 3, 75, 130), f"exit code {code}: {said[-500:]}"
    run.finish(processes=2)
    run.expect_same_end(undisturbed(processes=2))
    happened(f"the other ended with {code} after {seconds:.1f} s; a new start went on to the undisturbed run's end")


def test_both_end_when_one_loses_its_loader_worker(new_run, happened):
    run = new_run(data__loader__workers=1, optim__steps=4000)
    started = run.start(processes=2)
    with command.no_leftovers(started):
        run.wait_for_step(3, started)
        begin = time.monotonic()
        os.kill(command.loader_workers(started[1].pid)[0], signal.SIGKILL)
        ends = command.wait(started, timeout=90)
    codes = [code for code, _ in ends]
    assert not {0, 2, 3, 75, 130} & set(codes), f"exit codes {codes}: {ends[1][1][-500:]}"
    happened(f"exit codes {codes} in {time.monotonic() - begin:.1f} s")


def test_a_second_run_on_a_workdir_is_refused_in_both(new_run, happened):
    run = new_run(optim__steps=4000)
    started = run.start(processes=2)
    with command.no_leftovers(started):
        run.wait_for_step(1, started)
        ends = command.wait(run.start(processes=2), timeout=120)
        assert all("another run is using it" in said for _, said in ends), f"{ends[0][1][-400:]} {ends[1][1][-400:]}"
        codes = [code for code, _ in ends]
        assert codes == [2, 2], f"exit codes {codes}"
    happened(f"exit codes {codes}")


@pytest.mark.parametrize("name", ["one flipped bit in the arrays", pytest.param("arrays' file gone", marks=SLOW)])
def test_both_find_a_damaged_checkpoint_and_use_the_one_before(new_run, stopped, happened, name):
    run = new_run().copy_of(stopped)
    newest, good = run.saved[-1], run.saved[-2]
    damages.DAMAGES[name](run.checkpoint(newest))
    said = run.finish(processes=2)
    assert f"goes on from step {good} " in said, said[-500:]
    aside = [path.name for path in (run.workdir / "damaged_checkpoints").iterdir()]
    assert aside == [str(newest)], f"set aside: {aside}"
    happened(f"{aside} set aside, both went on from {good}")


@SLOW
def test_a_run_moves_from_2_processes_to_1_to_4(new_run, undisturbed, happened):
    whole, run = undisturbed(optim__steps=100), new_run(optim__steps=100)
    for processes, until in ((2, 30), (1, 60)):
        started = run.start(processes)
        with command.no_leftovers(started):
            run.wait_for_step(until, started)
            started[-1].send_signal(signal.SIGTERM)
            for code, said in command.wait(started):
                assert code == 75, f"exit code {code}: {said[-500:]}"
    changed = max(run.losses())
    run.finish(processes=4)
    worst = largest_difference(run, whole)
    assert worst < 1e-3, f"losses differ by {worst:.1e}"
    happened(f"losses of 100 steps within {worst:.1e} of one process's (hosts changed last after step {changed})")


@SLOW
def test_several_processes_train_like_one(config_file, folder, happened):
    """No fault: eight devices in 1, 2 and 4 processes."""
    runs = {}
    for processes in (1, 2, 4):
        runs[processes] = short_run.Run(config_file, folder / f"{processes}", optim__steps=20)
        runs[processes].finish(processes, devices=8 // processes)
    results = []
    for processes in (2, 4):
        worst = largest_difference(runs[processes], runs[1])
        assert worst < 1e-5 and len(runs[1].losses()) == 20, f"losses of {processes} processes differ by {worst:.1e}"
        ours, theirs = runs[processes].exported(), runs[1].exported()
        difference = max(float(np.abs(ours[path] - theirs[path]).max()) for path in theirs if "qkv/bias" not in path)
        results.append(f"{processes} processes: losses of 20 steps within {worst:.1e}, weights within {difference:.1e}")
    happened("; ".join(results))


def largest_difference(run, other):
    """Of the losses of the same steps, relative."""
    ours, theirs = run.losses(), other.losses()
    assert ours.keys() == theirs.keys(), "not the same steps"
    return max(abs(ours[step] / theirs[step] - 1) for step in theirs)
