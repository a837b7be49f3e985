"""A Slurm cluster of one node, this one, for as long as a `with` lasts: real daemons, no systemd."""

import contextlib
import os
import secrets
import socket
import subprocess
import time

SETTINGS = """
ClusterName=faults
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
ReturnToService=2
KillWait=30
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


class Slurm:
    """The commands of a running cluster."""

    def __init__(self, environment):
        self._environment = {**environment}

    def __call__(self, *command, folder=None):
        """What a command prints."""
        ran = subprocess.run(command, env=self._environment, cwd=folder, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr or ran.stdout}"
        return ran.stdout.strip()

    def job(self, number):
        """What Slurm knows about a job."""
        words = self("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, number, *states, timeout=240):
        """The job once it is in one of the states."""
        end = time.monotonic() + timeout
        while (job := self.job(number))["JobState"] not in states:
            assert time.monotonic() < end, f"job {number} is {job['JobState']} after {timeout:.0f} s"
            time.sleep(0.2)
        return job


@contextlib.contextmanager
def cluster(folder, environment):
    """Starts the daemons, with everything they write in the folder, and ends them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.touch(0o400)
    key.write_bytes(secrets.token_bytes(1024))
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in (one, two)]
    host = socket.gethostname().partition(".")[0]
    settings = SETTINGS.format(host=host, folder=folder, ports=ports, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(settings)
    environment = {**environment, "SLURM_CONF": str(folder / "slurm.conf")}
    paths = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
    munge = [f"--{option}={folder}/munge.{name}" for option, name in paths.items()]
    with contextlib.ExitStack() as daemons:
        for command in (
            ["munged", "--force", "--foreground", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", host],
        ):
            log = daemons.enter_context((folder / f"{command[0]}.out").open("w"))
            daemon = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            daemons.callback(daemon.wait)
            daemons.callback(daemon.terminate)
            if command[0] == "munged":
                time.sleep(0.5)  # the others ask it for their first message
        slurm = Slurm(environment)
        end = time.monotonic() + 30
        while "idle" not in (said := slurm("sinfo", "--noheader", "--format=%T")):
            assert time.monotonic() < end, f"the node is {said or 'not there'}, not idle"
            time.sleep(0.2)
        try:
            yield slurm
        finally:  # the tasks of a job outlive the daemons
            slurm("scancel", "--partition=all")
            end = time.monotonic() + 60
            while slurm("squeue", "--noheader") and time.monotonic() < end:
                time.sleep(0.2)
