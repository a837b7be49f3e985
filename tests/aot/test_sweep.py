"""The search for the largest batch, against devices whose memory is known."""

import json

from hypothesis import given
from hypothesis import strategies as st

from actionclip_jax import config
from actionclip_jax.aot import compile, estimate, sweep, topologies


def pretend(fixed, per_clip, available, gives_up=False):
    """A compiler for a device with that memory, and the sizes it was asked for."""
    asked = []

    def measure(clips):
        asked.append(clips)
        wanted = fixed + per_clip * clips
        fits = wanted <= available
        kinds = {} if gives_up and not fits else {"arguments": fixed, "temporaries": per_clip * clips}
        return {"fits": fits, "memory": {**kinds, "wanted": wanted, "available": available}}

    return measure, asked


@given(st.floats(0, 10), st.floats(0.001, 4), st.floats(1, 100), st.booleans())
def test_the_largest_size_that_fits_is_found_with_few_compilations(fixed, per_clip, available, gives_up):
    measure, asked = pretend(fixed, per_clip, available, gives_up)
    found = sweep.search(measure, sweep.SIZES)
    largest = max((size for size in sweep.SIZES if fixed + per_clip * size <= available), default=0)
    assert max((size for size, report in found.items() if report["fits"]), default=0) == largest
    assert len(asked) == len(set(asked)) <= 7


def test_a_size_just_beyond_the_prediction_is_tried_as_the_compiler_may_save_memory():
    def measure(clips):  # saves what is needed at 16
        wanted = 10.0 if clips == 16 else clips * 0.65
        return {"fits": wanted <= 10, "memory": {"wanted": wanted, "available": 10.0, "temporaries": wanted}}

    assert sweep.search(measure, sweep.SIZES)[16]["fits"]


def test_the_fastest_that_fits_is_the_best():
    def report(fits, rate, clips):
        return {"fits": fits, "clips_per_second": rate, "batch": {"clips": clips}}

    reports = [report(True, 5, 8), report(True, 7, 16), report(False, 9, 32)]
    assert sweep.best(reports) is reports[1]
    assert sweep.best(reports[2:]) is None


def test_reports_are_kept_so_that_a_sweep_goes_on(tmp_path, monkeypatch):
    plan, compiled = compile.Plan(config.TrainConfig(), topologies.describe("here")), []

    def compile_plan(plan, schedules):
        compiled.append(plan)
        return plan

    monkeypatch.setattr(compile, "compile_plan", compile_plan)
    monkeypatch.setattr(estimate, "report", lambda plan, utilisation: {"clips": plan.batch_size})
    for _ in range(2):
        cache = sweep.ReportCache(tmp_path / "compiled", 0.4)
        assert cache(plan) == {"clips": plan.batch_size}
    assert len(compiled) == 1
    sweep.ReportCache(tmp_path / "compiled", 0.5)(plan)  # another question
    assert len(compiled) == 2
    assert all(json.loads(path.read_text()) for path in (tmp_path / "compiled").iterdir())
