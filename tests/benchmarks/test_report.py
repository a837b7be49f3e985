"""The report over all benchmarks, with its smallest part."""

import json
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def report(out, *arguments):
    command = [sys.executable, "benchmarks/report.py", "--cpu", "--out", str(out), *arguments]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    return ran, json.loads(out.read_text())["parts"]


def test_a_part_is_measured(tmp_path):
    ran, parts = report(tmp_path / "report.json", "--parts", "flops")
    assert ran.returncode == 0, parts["flops"]["tail"]
    rows = parts["flops"]["measured"]["rows"]
    assert rows and all(abs(row["XLA"] / row["ours"] - 1) < 0.01 for row in rows)


def test_parts_without_time_are_left(tmp_path):
    ran, parts = report(tmp_path / "report.json", "--seconds", "1")
    assert ran.returncode == 0 and "out of time for: flops, train_step" in ran.stdout
    assert {part["outcome"] for part in parts.values()} == {"left"}
