"""What the scripts in launch/ do when a run is stopped, moved or killed, each on the real thing it is for."""

import contextlib
import functools
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import harness
import slurm
import tiny

REPOSITORY = pathlib.Path(__file__).parents[2]
STEPS = 40
PROCESSES = 2


class Launched(tiny.Run):
    """A run that a script of launch/ starts, with what the script needs around it."""

    def __init__(self, folder: pathlib.Path, steps: int = STEPS) -> None:
        super().__init__(folder, "launched", optim__steps=steps)
        self.folder = folder
        self.options = self.arguments[1:]  # without `train`, which the scripts say
        (folder / "bin").mkdir()
        command = folder / "bin" / "actionclip"
        command.write_text(f'#!/bin/sh\nexec {shlex.join(harness.COMMAND)} "$@"\n')
        command.chmod(0o755)
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
    def script(self, name: str) -> Iterator[subprocess.Popen[str]]:
        """Starts launch/NAME, which writes into the file `said`; kills it if something goes wrong."""
        with (self.folder / "said").open("a") as said:
            command = ["bash", str(REPOSITORY / "launch" / name), *self.options]
            process = subprocess.Popen(command, env=self.environment, stdout=said, stderr=said, text=True)
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(60)
                    process.kill()

    def end(self, process: subprocess.Popen[str], code: int, timeout: float = 240) -> float:
        """Waits for a script, expects its exit code and returns the seconds that took."""
        began = time.monotonic()
        ended = process.wait(timeout)
        harness.expect(ended == code, f"exit code {ended}, not {code}: {self.said()[-1500:]}")
        return time.monotonic() - began

    def said(self) -> str:
        """All that the scripts and the run have printed."""
        return (self.folder / "said").read_text(errors="replace")

    def until(self, step: int, process: subprocess.Popen[str] | None = None) -> None:
        """Waits for a step to be logged, by what the script `process` has started."""
        end = time.monotonic() + 120
        while max(self.losses(), default=0) < step:
            over = time.monotonic() > end or (process is not None and process.poll() is not None)
            if over:
                raise harness.Unexpected(f"step {step} was not reached: {self.said()[-1500:]}")
            time.sleep(0.05)

    def one_checkpoint(self) -> str:
        """Says where the run stopped; expects that all processes saved at the step that was logged last."""
        stopped = max(self.losses())
        harness.expect(self.saved[-1:] == [stopped], f"stopped at step {stopped} with the checkpoints {self.saved}")
        harness.expect(stopped < STEPS, "the run was over before it could be disturbed")
        return f"saved at step {stopped}"

    def whole(self) -> str:
        """Expects the end to equal that of the undisturbed run."""
        self.same_end(undisturbed())
        return f"{STEPS} steps, bit for bit as undisturbed"

    def processes(self) -> list[int]:
        """Those that train."""
        words = (str(self.workdir).encode(), b"from actionclip_jax import cli")
        found = []
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = file.read_bytes()
                if all(word in line for word in words) and line.startswith(sys.executable.encode()):
                    found.append(int(file.parent.name))
        return sorted(found)


@functools.cache
def undisturbed() -> tiny.Run:
    """The same run without a script and without a fault."""
    run = tiny.Run(tiny.config_file().parent, "not-launched", optim__steps=STEPS)
    run.finish(PROCESSES)
    return run


def restarts(run: Launched) -> list[str]:
    """The exit codes after which a script started a run again."""
    return re.findall(r"exit code (\d+): starting again", run.said())


def local_kill(folder: pathlib.Path) -> str:
    """kill -9 of the second of two processes of local.sh."""
    run = Launched(folder)
    with run.script("local.sh") as process:
        run.until(17, process)
        before = run.processes()
        harness.expect(len(before) == PROCESSES, f"{len(before)} processes train")
        os.kill(before[1], signal.SIGKILL)
        run.end(process, 0)
    codes = restarts(run)
    harness.expect(len(codes) == 1, f"restarts after the exit codes {codes}")
    return f"started again after exit code {codes[0]}; {run.whole()}"


def stop_and_go_on(folder: pathlib.Path, script: str) -> str:
    """SIGTERM to a script, and the same command again."""
    run = Launched(folder)
    with run.script(script) as process:
        run.until(12, process)
        process.send_signal(signal.SIGTERM)
        took = run.end(process, 75)
    saved = run.one_checkpoint()
    harness.expect(not run.processes(), "processes are left")
    with run.script(script) as process:
        run.end(process, 0)
    return f"75 after {took:.1f} s, {saved}; gone on with: {run.whole()}"


def local_stop(folder: pathlib.Path) -> str:
    """SIGTERM to local.sh."""
    return stop_and_go_on(folder, "local.sh")


def mpi_stop(folder: pathlib.Path) -> str:
    """SIGTERM to mpi.sh."""
    harness.expect(shutil.which("mpirun") is not None, "mpirun is not installed: apt-get install openmpi-bin")
    return stop_and_go_on(folder, "mpi.sh")


def mpi_kill(folder: pathlib.Path) -> str:
    """kill -9 of the process of an MPI rank."""
    harness.expect(shutil.which("mpirun") is not None, "mpirun is not installed: apt-get install openmpi-bin")
    run = Launched(folder)
    with run.script("mpi.sh") as process:
        run.until(17, process)
        os.kill(run.processes()[1], signal.SIGKILL)
        run.end(process, 0)
    codes = restarts(run)
    harness.expect(len(codes) == 1, f"restarts after the exit codes {codes}")
    return f"started again after exit code {codes[0]}; {run.whole()}"


@contextlib.contextmanager
def submitted(run: Launched, *options: str) -> Iterator[tuple[slurm.Slurm, str]]:
    """A cluster of one node, and the number of the job of a run that is submitted to it."""
    with slurm.cluster(run.folder / "slurm", run.environment) as cluster:
        yield cluster, submit(run, cluster, *options)


def submit(run: Launched, cluster: slurm.Slurm, *options: str) -> str:
    """Submits the run as a job of two tasks; its number."""
    options = ("--parsable", f"--ntasks={PROCESSES}", f"--output={run.folder / 'said'}", *options)
    return cluster("sbatch", *options, "launch/slurm.sbatch", *run.options, folder=REPOSITORY)


def done(run: Launched, cluster: slurm.Slurm, number: str) -> str:
    """Waits for the end of a job that should succeed."""
    job = cluster.wait_for(number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    harness.expect(job["JobState"] == "COMPLETED", f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}")
    return f"job {job['JobState']} {job['ExitCode']}, requeued {job['Restarts']} times; {run.whole()}"


def slurm_plain(folder: pathlib.Path) -> str:
    """slurm.sbatch, undisturbed."""
    run = Launched(folder)
    with submitted(run) as (cluster, number):
        return done(run, cluster, number)


def slurm_stopped(folder: pathlib.Path, *command: str, state: str) -> str:
    """A command that ends a job; the same submission goes on."""
    run = Launched(folder)
    with submitted(run) as (cluster, number):
        run.until(12)
        cluster(*command, number)
        job = cluster.wait_for(number, "COMPLETED", "FAILED", "CANCELLED", "PENDING", timeout=60)
        harness.expect(job["JobState"] == state, f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}")
        while run.processes():
            time.sleep(0.1)
        ended = f"job {state} {job['ExitCode']}, {run.one_checkpoint()}; submitted again: "
        return ended + done(run, cluster, submit(run, cluster))


def slurm_cancel(folder: pathlib.Path) -> str:
    """scancel JOB."""
    return slurm_stopped(folder, "scancel", state="CANCELLED")


def slurm_stop(folder: pathlib.Path) -> str:
    """scancel --batch --signal=TERM JOB."""
    return slurm_stopped(folder, "scancel", "--batch", "--signal=TERM", state="FAILED")


def slurm_requeued(folder: pathlib.Path, *command: str) -> str:
    """A command that should put the job back into the queue, from which it goes on by itself."""
    run = Launched(folder)
    with submitted(run) as (cluster, number):
        run.until(12)
        cluster(*command, number)
        cluster.wait_for(number, "PENDING", timeout=90)
        saved = run.one_checkpoint()
        began = time.monotonic()
        # Slurm keeps a requeued job back for two minutes unless told when to begin
        cluster("scontrol", "update", f"JobId={number}", "StartTime=now")
        cluster.wait_for(number, "RUNNING")
        waited = time.monotonic() - began
        ended = done(run, cluster, number)
        harness.expect("requeued 1 times" in ended, ended)
        return f"{saved}, running again after {waited:.0f} s; {ended}"


def slurm_task_signal(folder: pathlib.Path) -> str:
    """scancel --signal=TERM JOB, which is what --signal=TERM@120 and preemption do: the tasks get it."""
    return slurm_requeued(folder, "scancel", "--signal=TERM")


def slurm_requeue(folder: pathlib.Path) -> str:
    """scontrol requeue JOB."""
    return slurm_requeued(folder, "scontrol", "requeue")


def slurm_time_limit(folder: pathlib.Path) -> str:
    """A job that is longer than its time limit."""
    run = Launched(folder, steps=1_000_000)
    with submitted(run, "--time=3") as (cluster, number):
        began = time.monotonic()
        cluster.wait_for(number, "PENDING", timeout=30)
        cluster.wait_for(number, "RUNNING", timeout=30)
        job = cluster.wait_for(number, "PENDING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", timeout=240)
        harness.expect(job["JobState"] == "PENDING", f"{job['JobState']} {job['ExitCode']}: {run.said()[-1500:]}")
        stopped = max(run.losses())
        harness.expect(run.saved[-1] == stopped, f"stopped at step {stopped} with the checkpoints {run.saved}")
        cluster("scancel", number)
        return f"requeued after {time.monotonic() - began:.0f} of 180 s, saved at step {stopped}"


def slurm_kill(folder: pathlib.Path) -> str:
    """kill -9 of a task."""
    run = Launched(folder)
    with submitted(run) as (cluster, number):
        run.until(17)
        os.kill(run.processes()[1], signal.SIGKILL)
        ended = done(run, cluster, number)
    codes = restarts(run)
    harness.expect(len(codes) == 1, f"restarts after the exit codes {codes}")
    return f"started again in the same job after exit code {codes[0]}; {ended}"


LAUNCHERS = [
    harness.Fault("local.sh: kill -9 of one of two processes", "both start again, equal end", local_kill),
    harness.Fault("local.sh: SIGTERM", "exit code 75, saved at one step; goes on, equal end", local_stop),
    harness.Fault("mpi.sh: SIGTERM to Open MPI with two ranks", "75, saved at one step; goes on, equal end", mpi_stop),
    harness.Fault("mpi.sh: kill -9 of one of two ranks", "both start again, equal end", mpi_kill),
    harness.Fault("slurm.sbatch: two tasks, undisturbed", "COMPLETED, as without Slurm", slurm_plain),
    harness.Fault("slurm.sbatch: scancel", "CANCELLED, saved at one step; goes on, equal end", slurm_cancel),
    harness.Fault("slurm.sbatch: scancel --batch --signal=TERM", "FAILED with 75; goes on, equal end", slurm_stop),
    harness.Fault("slurm.sbatch: scancel --signal=TERM", "saved, requeued, equal end", slurm_task_signal),
    harness.Fault("slurm.sbatch: scontrol requeue", "saved, requeued, equal end", slurm_requeue),
    harness.Fault("slurm.sbatch: the time limit comes", "saved and requeued before it", slurm_time_limit),
    harness.Fault("slurm.sbatch: kill -9 of one of two tasks", "both start again in the job, equal end", slurm_kill),
]
