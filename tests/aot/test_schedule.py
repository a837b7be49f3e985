"""Bundles are counted as often as the loops around them run."""

from actionclip_jax.aot import hlo, schedule

# As TPU's compiler writes the schedule of an operation: of a loop of 9 rounds that holds one of 4, whose empty bundles
# do not say that they are within
BUNDLES = """= control target key start
LB: loop body
= control target key end

     0   :  { %s1 = smov 0 }
   0x1 LB: > { %s2 = sadd.s32 1, %s1 } /* Start region 2 */
   0x2   : > { %p1 = scmp.ge.s32.totalorder %s2, 7  ;;  %9 = sbr.rel (%p1) target = $region3 }
   0x3   :  {}
   0x4 LB: > > { %s4 = sadd.s32 1, %s3 }
   0x5   : > > { %p2 = scmp.ge.s32.totalorder %s4, 4 /* loop exit test */ }
   0x6   : > { %v1 = vadd.f32 %v0, %v0 }
   0x7 PF: > { %p3 = scmp.ge.s32.totalorder %s2, 9 /* loop exit test */ }
   0x8   :  { %10 = sbr.rel (!%p3) target = $region2 }
   0x9   :  {}
"""
BEFORE, INNER, OUTER, AFTER = 1, 4 * 2, 5, 2


def test_loops_count_as_often_as_they_run():
    assert schedule.count(BUNDLES.splitlines()) == BEFORE + 9 * (OUTER + INNER) + AFTER


def test_operations_that_are_alike_share_a_schedule(tmp_path):
    lines = [f'  %{name} = f32[8] add(%p, %p), backend_config={{"estimated_cycles":"5"}}' for name in ("one", "two")]
    text = "\n".join(["ENTRY %main (p: f32[8]) -> f32[8] {", "  %p = f32[8] parameter(0)", *lines, "}"])
    (tmp_path / "123-one-01-final_bundles.txt").write_text(BUNDLES)
    (tmp_path / "123-one-00-schedule-analysis_final_bundles.txt").write_text("total scheduled bundles: 10")
    found = schedule.take(tmp_path, hlo.Program(text))
    assert found["one"] == found["two"] == schedule.count(BUNDLES.splitlines())
    assert not list(tmp_path.iterdir()), "schedules were left behind"
