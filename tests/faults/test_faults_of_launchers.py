"""What the scripts in launch/ do when a run is stopped, moved or killed, each on the real thing it is for."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import command
import pytest
import short_run
import slurm

pytestmark = [pytest.mark.faults, pytest.mark.slow]  # `make test-faults` alone runs them

REPOSITORY = pathlib.Path(__file__).parents[2]
STEPS, PROCESSES = 40, 2


@pytest.fixture
def launch(config_file, folder):
    """`launch(steps)` is a run that a script of launch/ will start."""
    return lambda steps=STEPS: Launched(config_file, folder, steps)


@pytest.fixture
def expect_whole(undisturbed):
    """`expect_whole(run)` expects its end to equal that of the same run without a script and without a fault."""

    def expect(run):
        run.expect_same_end(undisturbed(PROCESSES, optim__steps=STEPS))
        return f"{STEPS} steps, bit for bit as undisturbed"

    return expect


@pytest.fixture
def done(expect_whole):
    """`done(run, cluster, number)` waits for the end of a job that should succeed."""

    def wait(run, cluster, number):
        job = cluster.wait_for(number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
        assert job["JobState"] == "COMPLETED", f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}"
        return f"job {job['JobState']} {job['ExitCode']}, requeued {job['Restarts']} times; {expect_whole(run)}"

    return wait


class Launched(short_run.Run):
    """A run that a script of launch/ starts, with what the script needs around it."""

    def __init__(self, config_file, folder, steps):
        super().__init__(config_file, folder / "launched", optim__steps=steps)
        self.folder, self.steps = folder, steps
        self.options = self.arguments[1:]  # without `train`, which the scripts say
        (folder / "bin").mkdir()
        stand_in = folder / "bin" / "actionclip"
        stand_in.write_text(f'#!/bin/sh\nexec {shlex.join(command.COMMAND)} "$@"\n')
        stand_in.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
            "PAUSE": "1",
            "PROCESSES": str(PROCESSES),
            "MPIRUN_OPTIONS": f"-n {PROCESSES} --oversubscribe",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }

    @contextlib.contextmanager
    def script(self, name):
        """Starts launch/NAME, which writes into the file `said`; kills it if something goes wrong."""
        with (self.folder / "said").open("a") as said:
            line = ["bash", str(REPOSITORY / "launch" / name), *self.options]
            process = subprocess.Popen(line, env=self.environment, stdout=said, stderr=said, text=True)
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(60)
                    process.kill()

    def end(self, process, code, timeout=240):
        """Waits for a script, expects its exit code and returns the seconds that took."""
        began = time.monotonic()
        ended = process.wait(timeout)
        assert ended == code, f"exit code {ended}, not {code}: {self.said()[-1500:]}"
        return time.monotonic() - began

    def said(self):
        """All that the scripts and the run have printed."""
        return (self.folder / "said").read_text(errors="replace")

    def until(self, step, process=None):
        """Waits for a step to be logged, by what the script `process` has started."""
        end = time.monotonic() + 120
        while max(self.losses(), default=0) < step:
            over = time.monotonic() > end or (process is not None and process.poll() is not None)
            assert not over, f"step {step} was not reached: {self.said()[-1500:]}"
            time.sleep(0.05)

    def one_checkpoint(self):
        """Says where the run stopped; expects that all processes saved at the step that was logged last."""
        stopped = max(self.losses())
        assert self.saved[-1:] == [stopped], f"stopped at step {stopped} with the checkpoints {self.saved}"
        assert stopped < self.steps, "the run was over before it could be disturbed"
        return f"saved at step {stopped}"

    def restart(self):
        """The exit code after which a script started the run again, once."""
        codes = re.findall(r"exit code (\d+): starting again", self.said())
        assert len(codes) == 1, f"restarts after the exit codes {codes}"
        return codes[0]

    def processes(self):
        """Those that train."""
        words = (str(self.workdir).encode(), b"from actionclip_jax import cli")
        pids = []
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = file.read_bytes()
                if all(word in line for word in words) and line.startswith(sys.executable.encode()):
                    pids.append(int(file.parent.name))
        return sorted(pids)


@pytest.fixture(params=["local.sh", "mpi.sh"])
def script(request):
    """The scripts that start processes on this machine."""
    if request.param == "mpi.sh" and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed: apt-get install openmpi-bin")
    return request.param


def test_a_killed_process_starts_all_again(launch, expect_whole, happened, script):
    run = launch()
    with run.script(script) as process:
        run.until(17, process)
        pids = run.processes()
        assert len(pids) == PROCESSES, f"{len(pids)} processes train"
        os.kill(pids[1], signal.SIGKILL)
        run.end(process, 0)
    happened(f"started again after exit code {run.restart()}; {expect_whole(run)}")


def test_sigterm_saves_and_the_same_command_goes_on(launch, expect_whole, happened, script):
    run = launch()
    with run.script(script) as process:
        run.until(12, process)
        process.send_signal(signal.SIGTERM)
        took = run.end(process, 75)
    saved = run.one_checkpoint()
    assert not run.processes(), "processes are left"
    with run.script(script) as process:
        run.end(process, 0)
    happened(f"75 after {took:.1f} s, {saved}; gone on with: {expect_whole(run)}")


@contextlib.contextmanager
def submitted(run, *options):
    """A cluster of one node, and the number of the job of a run that is submitted to it."""
    for tool in ("munged", "slurmctld", "slurmd", "sbatch"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed: apt-get install slurm-wlm munge")
    with slurm.cluster(run.folder / "slurm", run.environment) as cluster:
        yield cluster, submit(run, cluster, *options)


def submit(run, cluster, *options):
    """Submits the run as a job of two tasks; its number."""
    options = ("--parsable", f"--ntasks={PROCESSES}", f"--output={run.folder / 'said'}", *options)
    return cluster("sbatch", *options, "launch/slurm.sbatch", *run.options, folder=REPOSITORY)


def test_slurm_runs_an_undisturbed_job(launch, done, happened):
    run = launch()
    with submitted(run) as (cluster, number):
        happened(done(run, cluster, number))


@pytest.mark.parametrize(
    ("line", "state"),
    [("scancel", "CANCELLED"), ("scancel --batch --signal=TERM", "FAILED")],
    ids=["scancel", "scancel --batch --signal=TERM"],
)
def test_slurm_ends_a_job_saved_and_the_same_submission_goes_on(launch, done, happened, line, state):
    run = launch()
    with submitted(run) as (cluster, number):
        run.until(12)
        cluster(*line.split(), number)
        job = cluster.wait_for(number, "COMPLETED", "FAILED", "CANCELLED", "PENDING", timeout=60)
        assert job["JobState"] == state, f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}"
        while run.processes():
            time.sleep(0.1)
        ended = f"job {state} {job['ExitCode']}, {run.one_checkpoint()}; submitted again: "
        happened(ended + done(run, cluster, submit(run, cluster)))


@pytest.mark.parametrize("line", ["scancel --signal=TERM", "scontrol requeue"])
def test_slurm_requeues_a_job_which_goes_on_by_itself(launch, done, happened, line):
    """scancel --signal=TERM is what --signal=TERM@120 and preemption do: the tasks get it."""
    run = launch()
    with submitted(run) as (cluster, number):
        run.until(12)
        cluster(*line.split(), number)
        cluster.wait_for(number, "PENDING", timeout=90)
        saved = run.one_checkpoint()
        began = time.monotonic()
        # Slurm keeps a requeued job back for two minutes unless told when to begin
        cluster("scontrol", "update", f"JobId={number}", "StartTime=now")
        cluster.wait_for(number, "RUNNING")
        waited = time.monotonic() - began
        ended = done(run, cluster, number)
        assert "requeued 1 times" in ended, ended
        happened(f"{saved}, running again after {waited:.0f} s; {ended}")


@pytest.mark.slow
def test_slurm_requeues_a_job_before_its_time_limit(launch, happened):
    run = launch(steps=1_000_000)
    with submitted(run, "--time=3") as (cluster, number):
        began = time.monotonic()
        cluster.wait_for(number, "PENDING", timeout=30)
        cluster.wait_for(number, "RUNNING", timeout=30)
        job = cluster.wait_for(number, "PENDING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", timeout=240)
        assert job["JobState"] == "PENDING", f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}"
        saved = run.one_checkpoint()
        cluster("scancel", number)
        happened(f"requeued after {time.monotonic() - began:.0f} of 180 s, {saved}")


def test_slurm_starts_all_again_after_a_killed_task(launch, done, happened):
    run = launch()
    with submitted(run) as (cluster, number):
        run.until(17)
        os.kill(run.processes()[1], signal.SIGKILL)
        ended = done(run, cluster, number)
    happened(f"started again in the same job after exit code {run.restart()}; {ended}")
