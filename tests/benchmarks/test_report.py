"""The report over all benchmarks: its smallest part, and what comes of parts that fail or take too long."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest
import report

REPOSITORY = pathlib.Path(__file__).parents[2]


def run_report(out, *arguments):
    command = [sys.executable, "benchmarks/report.py", "--cpu", "--out", str(out), *arguments]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    return ran, json.loads(out.read_text())["parts"]


@pytest.mark.slow
def test_a_part_is_measured(tmp_path):
    ran, parts = run_report(tmp_path / "report.json", "--parts", "flops")
    assert ran.returncode == 0, parts["flops"]["tail"]
    rows = parts["flops"]["measured"]["rows"]
    assert rows and all(abs(row["XLA"] / row["ours"] - 1) < 0.01 for row in rows)


@pytest.mark.slow
def test_parts_without_time_are_left(tmp_path):
    ran, parts = run_report(tmp_path / "report.json", "--seconds", "1")
    assert ran.returncode == 0 and "out of time for: flops, train_step" in ran.stdout
    assert {part["outcome"] for part in parts.values()} == {"left"}


def test_a_part_that_fails_and_one_that_is_cut_off_are_told_with_their_output():
    parts = [report.Part("fails", ("-m", "pytest", "--no-such-option"), 30)]
    parts.append(report.Part("hangs", ("-c", "import time; print('begun', flush=True); time.sleep(60)"), 1))
    failed, cut_off = (report.run_part(part, part.limit, dict(os.environ)) for part in parts)
    assert failed["outcome"] == "failed" and failed["code"] and "no-such-option" in failed["tail"]
    assert cut_off["outcome"] == "cut off" and cut_off["seconds"] < 30 and "begun" in cut_off["tail"]
    assert failed["measured"] is None and cut_off["measured"] is None


@pytest.mark.slow
def test_a_part_that_is_cut_off_takes_its_own_processes_along(tmp_path):
    child = f"import time, pathlib; time.sleep(8); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    ended = time.monotonic() + 8
    report.run_part(report.Part("parent", ("-c", parent), 1), 1, dict(os.environ))
    time.sleep(max(0, ended + 1 - time.monotonic()))
    assert not (tmp_path / "late").exists()


def test_peers_are_prepared_within_the_time_that_is_left(tmp_path):
    part = report.against_torch("train_step", 230, cases=2)
    assert part.command(tmp_path, 140)[2:4] == ["--prepare", "50"] and part.least > report.LEAST


def test_what_is_wanted_most_of_an_accelerator_takes_nine_minutes():
    first = report.parts_on_accelerator()[:4]
    assert [part.name for part in first] == ["train_step", "inference", "gpu_tests", "train_tuned"]
    assert sum(part.limit for part in first) <= 540
