"""The scripts that start runs, with a stand-in for the command and for what is not installed here."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"
SHORT = sorted(path for path in LAUNCH.iterdir() if path.name not in ("environment.sh", "restart.sh"))
PREPARE = ("prepare.sbatch", "gke_prepare.yaml")
SHELL = sorted(path for path in LAUNCH.iterdir() if path.suffix != ".yaml")

# line N of the file `process-I` says what process I does when it is started for the N-th time
STAND_IN = """#!/bin/bash
cd "$STAND_IN" || exit 99
number=${OMPI_COMM_WORLD_RANK:-${SLURM_PROCID:-0}}
echo "$*" >>called
previous=
for argument; do [ "$previous" = --process ] && number=$argument; previous=$argument; done
count=$(($(cat "started-$number" 2>/dev/null || echo 0) + 1))
code=$(sed -n "${count}p" "process-$number")
trap 'echo TERM >>signals; exit 75' TERM
trap 'echo INT >>signals; exit 130' INT
echo "$count" >"started-$number"
[ "$code" = waits ] || exit "${code:-0}"
while :; do sleep 0.05; done
"""


@pytest.fixture(autouse=True)
def heed_signals():
    """As at a terminal: a shell cannot trap signals it inherits as ignored, as from tests under `nohup` or with `&`."""
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, default) for number, default in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stand_in(tmp_path):
    """`stand_in(codes of process 0, codes of process 1, ...)` makes an `actionclip` that does as told, in a folder."""

    def make(*codes):
        for number, ends in enumerate(codes):
            (tmp_path / f"process-{number}").write_text("".join(f"{end}\n" for end in ends))
        write_command(tmp_path / "bin" / "actionclip", STAND_IN)
        return tmp_path

    return make


def write_command(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def start(folder, script, *arguments, **environment):
    variables = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "STAND_IN": str(folder),
        "PAUSE": "0",
        **environment,
    }
    command = ["bash", str(LAUNCH / script), *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def wait_for(path, text):
    for _ in range(400):
        if path.exists() and path.read_text().strip() == text:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} does not say {text}")


def started(folder, number=0):
    return int((folder / f"started-{number}").read_text())


@pytest.mark.parametrize("code", [0, 2, 3, 130])
def test_a_run_that_is_done_or_hopeless_is_not_started_again(stand_in, code):
    folder = stand_in([code])
    assert finish(start(folder, "local.sh", "--config", "x.py"))[0] == code
    assert started(folder) == 1


def test_a_crashed_run_and_one_that_somebody_else_stopped_start_again(stand_in):
    folder = stand_in([1, 134, 137, 75, 0])
    code, said = finish(start(folder, "local.sh", "--config", "x.py"))
    assert code == 0 and started(folder) == 5
    assert "exit code 75: starting again in 0 s; 6 restarts left" in said


def test_the_restarts_are_used_up_at_some_time(stand_in):
    folder = stand_in([1] * 9)
    code, said = finish(start(folder, "local.sh", "--config", "x.py", RESTARTS="2"))
    assert code == 1 and started(folder) == 3 and "used up" in said


def test_processes_get_the_same_command_with_their_numbers_and_their_lines_say_whose_they_are(stand_in):
    folder = stand_in([0], [0])
    write_command(folder / "bin" / "actionclip", '#!/bin/bash\necho "$*"\n')
    code, said = finish(start(folder, "local.sh", "--config", "a b.py", PROCESSES="2"))
    assert code == 0
    lines = sorted(said.splitlines())
    port = lines[0].split("127.0.0.1:")[1].split()[0]
    expected = "train --distributed --coordinator 127.0.0.1:{} --processes 2 --process {} --config a b.py"
    assert lines == [f"[{number}] {expected.format(port, number)}" for number in range(2)]


def test_the_graphics_cards_are_shared_out(stand_in):
    folder = stand_in([0], [0])
    write_command(folder / "bin" / "actionclip", '#!/bin/bash\necho "$CUDA_VISIBLE_DEVICES"\n')
    said = finish(start(folder, "local.sh", PROCESSES="2", CUDA_VISIBLE_DEVICES="0,2,4,6"))[1]
    assert sorted(said.splitlines()) == ["[0] 0,2", "[1] 4,6"]
    code, said = finish(start(folder, "local.sh", PROCESSES="2", CUDA_VISIBLE_DEVICES="3"))
    assert code == 2 and "only 1 GPUs" in said


def test_one_process_that_crashes_takes_the_others_with_it_and_all_start_again(stand_in):
    folder = stand_in(["waits", 0], [137, 0])
    code, _ = finish(start(folder, "local.sh", PROCESSES="2"))
    assert code == 0 and started(folder, 0) == started(folder, 1) == 2
    assert not (folder / "signals").exists()  # killed: what waits for a lost process does not heed a signal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGHUP, 75)])
def test_a_signal_reaches_every_process_once_and_ends_the_script(stand_in, number, code):
    folder = stand_in(["waits"], ["waits"])
    process = start(folder, "local.sh", PROCESSES="2")
    for index in range(2):
        wait_for(folder / f"started-{index}", "1")
    process.send_signal(number)
    assert finish(process)[0] == code
    name = "INT" if number == signal.SIGINT else "TERM"
    assert (folder / "signals").read_text().split() == [name, name]
    assert started(folder) == 1


def test_mpi_ranks_end_together_with_the_code_of_the_first_that_fails_and_start_again(stand_in):
    needs("mpirun")
    folder = stand_in([134, 75, 3], ["waits", 75, 3])
    code, said = finish(start(folder, "mpi.sh", "--config", "x.py", **MPI))
    assert code == 3, said
    assert started(folder, 0) == started(folder, 1) == 3


def test_a_signal_reaches_every_mpi_rank_and_ends_the_script(stand_in):
    needs("mpirun")
    folder = stand_in(["waits"], ["waits"])
    process = start(folder, "mpi.sh", "--config", "x.py", **MPI)
    for index in range(2):
        wait_for(folder / f"started-{index}", "1")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 75
    assert (folder / "signals").read_text().split() == ["TERM", "TERM"]


MPI = {
    "MPIRUN_OPTIONS": "-n 2 --oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "GRACE": "1",
}

# a slice of one host, which is this one
GCLOUD = """#!/bin/bash
echo "${@:1:$#-1}" >>"$STAND_IN/gcloud"
cd "$STAND_IN" && exec bash -c "${@: -1:1}" <<<"" # as a shell at the other end would
"""


def start_pod(folder, *arguments):
    write_command(folder / "bin" / "gcloud", GCLOUD.replace('"${@: -1:1}"', '"$(sed s/^--command=// <<<"${@: -1:1}")"'))
    pod = {"TPU": "slice", "ZONE": "here-a", "REPOSITORY": str(LAUNCH.parent)}
    return start(folder, "tpu_pod.sh", *arguments, **pod)


def test_a_pod_runs_the_command_on_all_hosts_and_starts_it_again(stand_in):
    folder = stand_in([1, 0])
    code, said = finish(start_pod(folder, "--config", "a b.py"))
    assert code == 0 and started(folder) == 2, said
    assert (folder / "called").read_text().splitlines()[0] == "train --distributed --config a b.py"
    assert "tpu-vm ssh slice --zone=here-a --worker=all" in (folder / "gcloud").read_text()


def test_a_signal_reaches_the_hosts_of_a_pod(stand_in):
    folder = stand_in(["waits"])
    process = start_pod(folder, "--config", "x.py")
    wait_for(folder / "started-0", "1")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 75


def test_slurm_ends_or_requeues(stand_in):
    folder = stand_in([1, 75])
    write_command(folder / "bin" / "srun", '#!/bin/bash\nshift\nexec "$@"\n')
    write_command(folder / "bin" / "scontrol", '#!/bin/bash\necho "$*" >>"$STAND_IN/scontrol"\nexit 1\n')
    job = {"SLURM_SUBMIT_DIR": str(LAUNCH.parent), "SLURM_JOB_ID": "7"}
    code, said = finish(start(folder, "slurm.sbatch", "--config", "x.py", **job))
    assert code == 75 and started(folder) == 2, said
    assert (folder / "scontrol").read_text() == "requeue 7\n"


# numbers jobs from 70 on, as the array of a cluster named there
SBATCH = """#!/bin/bash
echo "$*" >>"$STAND_IN/sbatch"
echo "PARTS=$PARTS" >>"$STAND_IN/parts"
echo "$((69 + $(wc -l <"$STAND_IN/sbatch")));cluster"
"""


def test_preparing_on_slurm_submits_an_array_and_a_merge_after_it(stand_in):
    folder = stand_in()
    write_command(folder / "bin" / "sbatch", SBATCH)
    options = {"PARTS": "20", "SBATCH_OPTIONS": "--cpus-per-task=8 --time=1:00"}
    code, said = finish(start(folder, "prepare.sbatch", "my videos", "out", "--frames", "8", **options))
    assert code == 0 and said == "array 70 makes 20 parts; job 71 then completes out\n"
    script, common = LAUNCH / "prepare.sbatch", "--cpus-per-task=8 --time=1:00"
    assert (folder / "sbatch").read_text().splitlines() == [
        f"--parsable --array=0-19 {common} {script} my videos out --frames 8",
        f"--parsable --dependency=afterany:70 {common} {script} my videos out --frames 8 --merge",
    ]
    assert (folder / "parts").read_text() == "PARTS=20\n" * 2


def test_the_tasks_of_an_array_make_their_parts_and_the_last_job_merges(stand_in):
    folder = stand_in([0])
    task = {"PARTS": "20", "SLURM_ARRAY_TASK_ID": "7", "SLURM_CPUS_PER_TASK": "8", "SLURM_JOB_ID": "77"}
    assert finish(start(folder, "prepare.sbatch", "my videos", "out", **task))[0] == 0
    assert finish(start(folder, "prepare.sbatch", "my videos", "out", "--merge", PARTS="20"))[0] == 0
    assert (folder / "called").read_text().splitlines() == [
        "prepare --workers 8 my videos out --shard 7/20",
        "prepare my videos out --merge",
    ]


def test_preparing_on_slurm_needs_the_number_of_parts_and_submits_no_merge_without_an_array(stand_in):
    folder = stand_in()
    code, said = finish(start(folder, "prepare.sbatch", "videos", "out"))
    assert code and "PARTS: is the number of tasks" in said
    write_command(folder / "bin" / "sbatch", '#!/bin/bash\necho "$*" >>"$STAND_IN/sbatch"\nexit 1\n')
    assert finish(start(folder, "prepare.sbatch", "videos", "out", PARTS="2"))[0] == 1
    assert len((folder / "sbatch").read_text().splitlines()) == 1


def test_preparing_on_kubernetes_makes_every_part_and_merges_when_all_are_done(stand_in):
    manifest = yaml.safe_load((LAUNCH / "gke_prepare.yaml").read_text())
    assert manifest["apiVersion"] == "jobset.x-k8s.io/v1alpha2" and manifest["kind"] == "JobSet"
    parts, merge = manifest["spec"]["replicatedJobs"]
    assert merge["dependsOn"] == [{"name": parts["name"], "status": "Complete"}]
    job = parts["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["parallelism"] <= job["completions"]
    folder = stand_in([0, 1])
    variables = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STAND_IN": str(folder)}
    for part in (parts, merge):
        pod = part["template"]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        told = {"JOB_COMPLETION_INDEX": "7", **{each["name"]: each["value"] for each in container["env"]}}
        subprocess.run(container["command"] + container["args"], env={**variables, **told}, check=True)
    common = "prepare /storage/videos /storage/shards --workers 8"
    assert (folder / "called").read_text().splitlines() == [
        f"{common} --shard 7/{job['completions']}",
        f"{common} --merge",
    ]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # which a pod failure policy asks for


def needs(tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_the_shell_finds_no_fault(path):
    subprocess.run(["bash", "-n", str(path)], check=True)
    needs("shellcheck")
    command = ["shellcheck", "--shell=bash", "--external-sources", f"--source-path={LAUNCH}", str(path)]
    checked = subprocess.run(command, cwd=LAUNCH.parent, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.name)
def test_every_script_is_short_and_starts_the_same_command(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 130
    text = " ".join(path.read_text().split())
    if path.name in PREPARE:
        assert "actionclip prepare" in text and "--merge" in text
    else:
        assert "actionclip train --distributed" in text and "environment.sh" in text


def environment(**variables):
    """What environment.sh makes of the variables."""
    command = f"source {LAUNCH / 'environment.sh'} && source {LAUNCH / 'environment.sh'} && env -0"
    known = {"PATH": os.environ["PATH"], **variables}
    said = subprocess.run(["bash", "-c", command], env=known, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.split("\0") if line)


def test_what_is_set_already_wins():
    assert environment(ACTIONCLIP_WAIT="5")["ACTIONCLIP_WAIT"] == "5"
    ours = environment(DEVICE="gpu")
    assert ours["ACTIONCLIP_WAIT"] == "600"
    assert ours["NCCL_NVLS_ENABLE"] == "1" and ours["JAX_OPTIMIZATION_LEVEL"] == "O1"
    assert environment(DEVICE="gpu", NCCL_NVLS_ENABLE="0")["NCCL_NVLS_ENABLE"] == "0"
    assert environment(DEVICE="cpu")["GLIBC_TUNABLES"] and "GLIBC_TUNABLES" not in environment(DEVICE="tpu")


def test_the_jobset_restarts_what_a_restart_helps():
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["apiVersion"] == "jobset.x-k8s.io/v1alpha2" and manifest["kind"] == "JobSet"
    spec = manifest["spec"]
    assert set(spec) == {"coordinator", "failurePolicy", "replicatedJobs"}
    [jobs] = spec["replicatedJobs"]
    assert set(jobs) == {"name", "replicas", "template"} and spec["coordinator"] == {"replicatedJob": jobs["name"]}
    job = jobs["template"]["spec"]
    assert job["parallelism"] == job["completions"] > 1 and job["backoffLimit"] == 0
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 3]}}
    assert spec["failurePolicy"]["maxRestarts"] > 0
    [rule] = spec["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet" and rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # which a pod failure policy asks for
    [container] = pod["containers"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_jobset_passes_its_arguments_on(stand_in):
    manifest = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    [container] = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"]
    folder = stand_in([0])
    variables = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STAND_IN": str(folder)}
    command = container["command"] + container["args"]
    subprocess.run(command, cwd=LAUNCH.parent, env=variables, check=True)
    assert (folder / "called").read_text().startswith("train --distributed --config configs/")
    assert (LAUNCH.parent / container["args"][1]).exists()
