"""Collectives and loops read from compiled programs whose exchanges are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from actionclip_jax import sharding
from actionclip_jax.aot import hlo

LAYERS, WIDTH = 5, 64


def compile_sum(mesh, axes, repeats=1):
    """A program that adds up [WIDTH, WIDTH] float32 over the axes, so often."""

    def local(x):
        for _ in range(repeats):
            x = jax.lax.psum(jnp.sin(x), axes)
        return x

    summed = jax.shard_map(local, mesh=mesh, in_specs=P(), out_specs=P())
    return jax.jit(summed).lower(jax.ShapeDtypeStruct((WIDTH, WIDTH), np.float32)).compile()


@pytest.mark.parametrize(
    ("fsdp", "axes", "group"), [(1, "data", tuple(range(8))), (2, "data", (0, 2, 4, 6)), (2, "fsdp", (0, 1))]
)
def test_a_sum_is_found_with_its_bytes_and_devices(fsdp, axes, group):
    program = hlo.Program(compile_sum(sharding.make_mesh(fsdp=fsdp), axes).as_text())
    (found,) = program.collectives
    size = 4 * WIDTH**2
    assert found == hlo.Collective("all-reduce", size, group, 1)
    assert found.sent_bytes == 2 * size * (len(group) - 1) / len(group)


def test_every_sum_of_a_program_counts():
    program = hlo.Program(compile_sum(sharding.make_mesh(), "data", repeats=3).as_text())
    assert sum(one.times for one in program.collectives) == 3


def test_sums_in_a_loop_count_as_often_as_it_runs():
    mesh = sharding.make_mesh()

    def local(x):
        return jax.lax.fori_loop(0, LAYERS, lambda _, x: jax.lax.psum(jnp.sin(x), "data"), x)

    looped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False))
    program = hlo.Program(looped.lower(jax.ShapeDtypeStruct((WIDTH, WIDTH), np.float32)).compile().as_text())
    assert sum(one.times for one in program.collectives) == LAYERS


@pytest.mark.parametrize(("start", "rounds"), [(0, 12), (1, 11)])
def test_a_loop_whose_first_round_was_taken_out_runs_once_less(start, rounds):
    text = f"""HloModule m, num_partitions=2

%body (b: (s32[], f32[16])) -> (s32[], f32[16]) {{
  %b = (s32[], f32[16]) parameter(0)
  %count = s32[] get-tuple-element(%b), index=0
  %x = f32[16]{{0}} get-tuple-element(%b), index=1
  %sum = f32[16]{{0}} all-reduce(%x), replica_groups={{{{0,1}}}}, to_apply=%add
  ROOT %next = (s32[], f32[16]) tuple(%count, %sum)
}}

%condition (c: (s32[], f32[16])) -> pred[] {{
  %c = (s32[], f32[16]) parameter(0)
  %counter = s32[]{{:T(128)}} get-tuple-element(%c), index=0
  %bound = s32[]{{:T(128)}} constant(12)
  ROOT %less = pred[] compare(%counter, %bound), direction=LT
}}

ENTRY %main (p: f32[16]) -> (s32[], f32[16]) {{
  %p = f32[16]{{0}} parameter(0)
  %first = s32[]{{:T(128)}} constant({start})
  %copied = s32[]{{:T(128)}} copy(%first)
  %carried = (s32[], f32[16]) tuple(%copied, %p)
  ROOT %loop = (s32[], f32[16]) while(%carried), condition=%condition, body=%body
}}
"""
    assert hlo.Program(text).collectives == [hlo.Collective("all-reduce", 64, (0, 1), rounds)]


def test_a_program_of_one_device_has_no_collectives_and_cpus_estimate_no_cycles():
    compiled = jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((WIDTH, WIDTH), np.float32)).compile()
    program = hlo.Program(compiled.as_text())
    assert program.collectives == [] and program.cycles == 0


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", (0, 1, 2, 3)),
        ("replica_groups=[2,4]<=[8]", (0, 1, 2, 3)),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", (0, 4)),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", (0, 1, 2, 3)),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_0'}", (0, 4)),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_0','axis_1'}", tuple(range(8))),
        ("source_target_pairs={{0,4},{4,0}}", (0, 4)),
        ("replica_groups={}", tuple(range(8))),
    ],
)
def test_groups_are_read_in_every_notation(groups, first):
    assert hlo.read_group(f"%x = f32[4]{{0}} all-reduce(%y), channel_id=1, {groups}, to_apply=%add", 8) == first


def test_an_asynchronous_collective_counts_once_with_its_result_alone():
    text = """HloModule m, num_partitions=4

ENTRY %main (p: f32[16]) -> f32[64] {
  %p = f32[16]{0} parameter(0)
  %start = (f32[16]{0}, f32[64]{0}) all-gather-start(%p), channel_id=1, replica_groups=[1,4]<=[4], dimensions={0}
  ROOT %done = f32[64]{0} all-gather-done(%start)
}
"""
    assert hlo.Program(text).collectives == [hlo.Collective("all-gather", 256, (0, 1, 2, 3), 1)]


def test_a_collective_that_begins_and_ends_in_fusions_counts_once_wherever_these_keep_it():
    def fusion(name, place):
        gather = f"f32[64]{{0:T(128){place}}} all-gather(%p), channel_id=5, replica_groups=[1,4]<=[4], dimensions={{0}}"
        return f"%{name} (p: f32[16]) -> f32[64] {{\n  %p = f32[16]{{0}} parameter(0)\n  ROOT %gather = {gather}\n}}\n"

    text = f"""HloModule m, num_partitions=4

{fusion("start", "S(1)")}
{fusion("done", "")}
ENTRY %main (p: f32[16]) -> f32[64] {{
  %p = f32[16]{{0}} parameter(0)
  %first = f32[64]{{0:T(128)S(1)}} fusion(%p), kind=kCustom, calls=%start
  ROOT %second = f32[64]{{0:T(128)}} fusion(%p), kind=kCustom, calls=%done
}}
"""
    assert hlo.Program(text).collectives == [hlo.Collective("all-gather", 256, (0, 1, 2, 3), 1)]


def test_an_asynchronous_permutation_sends_its_result_not_the_numbers_behind_it():
    text = """HloModule m, num_partitions=2

ENTRY %main (p: f32[16]) -> f32[16] {
  %p = f32[16]{0} parameter(0)
  %start = (f32[16]{0}, f32[16]{0}, u32[], u32[]) collective-permute-start(%p), source_target_pairs={{0,1},{1,0}}
  ROOT %done = f32[16]{0} collective-permute-done(%start)
}
"""
    assert hlo.Program(text).collectives == [hlo.Collective("collective-permute", 64, (0, 1), 1)]


@pytest.mark.parametrize(
    ("kind", "slices", "expected"),
    [
        ("ALL_REDUCE", "{1,2,3,4}", hlo.Collective("all-reduce", 64, (0, 1, 2, 3), 1, between_slices=True)),
        ("REDUCE_SCATTER", "{1:2}", hlo.Collective("reduce-scatter", 64, (0, 1), 1, between_slices=True)),
        ("ONE_TO_ONE", "{1,2}", hlo.Collective("collective-permute", 64, (0, 1), 1, between_slices=True)),
    ],
)
def test_what_goes_between_slices_is_a_transfer_by_the_hosts_and_counts_once(kind, slices, expected):
    labels = f'_xla_megascale_target="{slices}x{{0:3}}",_xla_megascale_transfer_type="{kind}"'
    text = f"""HloModule m, num_partitions=8

ENTRY %main (p: f32[16]) -> f32[16] {{
  %p = f32[16]{{0}} parameter(0)
  %token = token[] after-all()
  %send = (f32[16]{{0}}, u32[], token[]) send(%p, %token), channel_id=3, is_host_transfer=true, frontend_attributes={{{labels}}}
  %sent = token[] send-done(%send), channel_id=3, is_host_transfer=true
  %recv = (f32[16]{{0}}, u32[], token[]) recv(%token), channel_id=2, is_host_transfer=true, frontend_attributes={{{labels}}}
  %received = (f32[16]{{0}}, token[]) recv-done(%recv), channel_id=2, is_host_transfer=true
  ROOT %x = f32[16]{{0}} get-tuple-element(%received), index=0
}}
"""  # noqa: E501
    assert hlo.Program(text).collectives == [expected]
