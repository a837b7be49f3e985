"""One process, four of which one is killed, and Apache Beam make the same files of the same videos."""

import hashlib
import os
import signal
import time

import command
import pytest
import videos

from actionclip_jax.data.records import check

pytestmark = pytest.mark.slow

VIDEOS, PARTS = 60, 4
BEAM = ["--engine", "beam"]
TWO_PROCESSES = ["--beam.direct_num_workers=2", "--beam.direct_running_mode=multi_processing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of small videos, one of which is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        class_folder = folder / f"class {number % 3}"
        class_folder.mkdir(exist_ok=True)
        videos.write(class_folder / f"{number:03d}.mp4", 3, first=3 * number)
    (folder / "class 1" / "none.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def one(folder, tmp_path_factory):
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("one") / "out"
    run(prepare(folder, out), code=1)
    return digests(out)


def prepare(folder, out, *options, workers=("--workers", "1")):
    return ["prepare", str(folder), str(out), "--frames", "2", "--shard-clips", "2", *workers, *options]


def run(arguments, code=0):
    ended, said = command.run(arguments)
    assert ended == code, said
    return said


def digests(out):
    """The SHA-256 of every file, without the lock, which only some of its makers take."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_four_parts_of_which_one_is_killed_and_started_again(folder, one, tmp_path):
    out = tmp_path / "out"
    parts = [prepare(folder, out, "--shard", f"{index}/{PARTS}") for index in range(PARTS)]
    started = [command.start(part) for part in parts]
    with command.no_leftovers(started):
        end = time.monotonic() + 120
        while not any(out.glob("shards/00002.*")):
            assert time.monotonic() < end, "the part to be killed made nothing"
            time.sleep(0.002)
        os.killpg(started[2].pid, signal.SIGKILL)
        ends = command.wait(started)
    assert [code for code, _ in ends] == [0, 0, -signal.SIGKILL, 0], ends
    assert "is missing" in run(prepare(folder, out, "--merge"), code=2)
    assert "31 of 31 shards" in run(parts[2])
    run(prepare(folder, out, "--merge"), code=1)
    assert digests(out) == one
    assert check.verify(out) == []


@pytest.mark.parametrize("options", [[], TWO_PROCESSES], ids=["here", "two processes"])
def test_a_beam_pipeline(options, folder, one, tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install '.[beam]'")
    run(prepare(folder, tmp_path / "out", *BEAM, *options, workers=()), code=1)
    assert digests(tmp_path / "out") == one
