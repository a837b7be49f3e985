"""Every moment of a run is accounted for, over all its starts."""

import json
import time

import pytest

from actionclip_jax.training import goodput


def test_every_moment_belongs_to_one_bucket():
    begin = time.perf_counter()
    clock = goodput.Clock(begin)
    for bucket, seconds in (("start", 0.05), ("data_wait", 0.02), ("step", 0.1), ("data_wait", 0.03)):
        time.sleep(seconds)
        clock.lap(bucket)
    assert sum(clock.seconds.values()) == pytest.approx(time.perf_counter() - begin, abs=0.005)
    assert clock.seconds["data_wait"] == pytest.approx(0.05, abs=0.02) and clock.seconds["evaluation"] == 0
    assert clock.goodput() == pytest.approx(clock.seconds["step"] / sum(clock.seconds.values()))
    summary = clock.summary()
    assert summary.pop("total") == pytest.approx(sum(summary.values()), abs=0.01)


def fabricate(clock, **seconds):
    """The clock as if it had measured this, until now."""
    clock.seconds |= seconds
    clock._first = time.time() - sum(clock.seconds.values())
    return json.loads(json.dumps(clock.state()))


def test_work_after_the_checkpoint_is_lost_and_the_pause_is_down():
    first = goodput.Clock()
    saved = fabricate(first, start=10.0, step=50.0, checkpoint=1.0)
    last = fabricate(first, step=70.0, data_wait=2.0)  # 22 seconds more, and then a kill
    last["last"] -= 30  # and a pause
    last["first"] -= 30
    second = goodput.Clock()
    second.go_on(saved, last)
    assert second.seconds["step"] == 50 and second.seconds["data_wait"] == 0 and second.starts == 2
    assert second.seconds["lost"] == pytest.approx(22) and second.seconds["down"] == pytest.approx(30, abs=0.1)
    assert sum(second.seconds.values()) == pytest.approx(second.summary()["total"], rel=0.01)
    # another kill before another checkpoint: all since then is lost as well
    third_last = json.loads(json.dumps(second.state()))
    third_last["seconds"]["step"] += 8
    third = goodput.Clock()
    third.go_on(saved, third_last)
    assert third.seconds["lost"] == pytest.approx(30) and third.seconds["down"] == pytest.approx(30, abs=0.1)
    assert third.starts == 3 and third.seconds["step"] == 50


def test_without_a_checkpoint_all_was_lost_and_without_a_record_nothing_is_known():
    last = fabricate(goodput.Clock(), start=5.0, step=20.0)
    clock = goodput.Clock()
    clock.go_on(None, last)
    assert clock.seconds["lost"] == 25 and clock.seconds["step"] == 0
    clock = goodput.Clock()
    clock.go_on(last, None)
    assert clock.seconds["lost"] == 0 and clock.seconds["step"] == 20
    clock = goodput.Clock()
    clock.go_on(None, None)
    assert clock.starts == 1
