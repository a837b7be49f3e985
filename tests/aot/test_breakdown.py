"""Every cycle of a compiled step is attributed once, to the heaviest work of its instruction."""

import math

import jax
import numpy as np
import pytest

from actionclip_jax.aot import accelerators, breakdown, hlo, products

V5E = accelerators.ACCELERATORS["v5e"]
LAYERS, CYCLES = 3, {"product": 900, "norm": 200, "converted": 50, "update": 70, "kernel": 0, "attention": 40}


def scoped(scopes, cycles=None):
    """What TPU's compiler writes behind an instruction."""
    config = f', backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}' if cycles else ""
    return f'metadata={{op_name="jit(step)/{scopes}" stack_frame_id=1}}{config}'


AGAIN = "transpose(jvp(image))/while/body/checkpoint/rematted_computation/block"
KERNEL = 'custom_call_target="tpu_custom_call", metadata={op_name="jit(step)/jvp(image)/while/body/block/attn/call"}'
# As TPU's compiler writes a step: a loop over layers of a product that is fused with an activation and a converted
# weight, of a norm, of a kernel and of attention; then the conversion of a weight and an update.
STEP = f"""HloModule step

%fused_product (a: bf16[64,768], b: f32[768,3072]) -> bf16[64,3072] {{
  %a = bf16[64,768]{{1,0}} parameter(0)
  %b = f32[768,3072]{{1,0}} parameter(1)
  %narrow = bf16[768,3072]{{1,0}} convert(%b), {scoped("jvp(image)/while/body/block/mlp/convert_element_type")}
  %dot = bf16[64,3072]{{1,0}} convolution(%a, %narrow), dim_labels=bf_io->bf, {scoped("jvp(image)/block/mlp/dot")}
  ROOT %bent = bf16[64,3072]{{1,0}} tanh(%dot), {scoped("jvp(image)/while/body/block/mlp/tanh")}
}}

%fused_norm (c: bf16[64,768]) -> f32[64] {{
  %c = bf16[64,768]{{1,0}} parameter(0)
  %square = bf16[64,768]{{1,0}} multiply(%c, %c), {scoped(f"{AGAIN}/norm/square")}
  %zero = f32[] constant(0)
  ROOT %sum = f32[64]{{0}} reduce(%square, %zero), dimensions={{1}}, to_apply=%add, {scoped(f"{AGAIN}/norm/reduce_sum")}
}}

%body (carried: (s32[], bf16[64,768], f32[768,3072])) -> (s32[], bf16[64,768], f32[768,3072]) {{
  %carried = (s32[], bf16[64,768], f32[768,3072]) parameter(0)
  %count = s32[] get-tuple-element(%carried), index=0
  %x = bf16[64,768]{{1,0}} get-tuple-element(%carried), index=1
  %w = f32[768,3072]{{1,0}} get-tuple-element(%carried), index=2
  %product = bf16[64,3072]{{1,0}} fusion(%x, %w), kind=kOutput, calls=%fused_product, {scoped("x", CYCLES["product"])}
  %norm = f32[64]{{0}} fusion(%x), kind=kLoop, calls=%fused_norm, {scoped("x", CYCLES["norm"])}
  %kernel = bf16[64,768]{{1,0}} custom-call(%x), {KERNEL}
  %soft = bf16[64,768]{{1,0}} exponential(%x), {scoped("transpose(jvp(text))/block/attn/exp", CYCLES["attention"])}
  ROOT %next = (s32[], bf16[64,768], f32[768,3072]) tuple(%count, %soft, %w)
}}

%condition (counted: (s32[], bf16[64,768], f32[768,3072])) -> pred[] {{
  %counted = (s32[], bf16[64,768], f32[768,3072]) parameter(0)
  %counter = s32[] get-tuple-element(%counted), index=0
  %bound = s32[] constant({LAYERS})
  ROOT %less = pred[] compare(%counter, %bound), direction=LT
}}

ENTRY %main (p: bf16[64,768], q: f32[768,3072]) -> bf16[768,3072] {{
  %p = bf16[64,768]{{1,0}} parameter(0)
  %q = f32[768,3072]{{1,0}} parameter(1), metadata={{op_name="state.params[\\'image/blocks/mlp/fc/kernel\\']"}}
  %start = s32[] constant(0)
  %first = (s32[], bf16[64,768], f32[768,3072]) tuple(%start, %p, %q)
  %loop = (s32[], bf16[64,768], f32[768,3072]) while(%first), condition=%condition, body=%body
  %update = f32[768,3072]{{1,0}} add(%q, %q), {scoped("optimizer/add", CYCLES["update"])}
  ROOT %converted = bf16[768,3072]{{1,0}} convert(%q), backend_config={{"estimated_cycles":"{CYCLES["converted"]}"}}
}}
"""


def test_every_instruction_counts_once_as_often_as_it_runs():
    program = hlo.Program(STEP)
    found = {(row["part"], row["kind"], row["pass"]): row["cycles"] for row in breakdown.rows(program, V5E)}
    assert found == {
        ("image", "product", "forward"): LAYERS * CYCLES["product"],
        ("image", "norm", "again"): LAYERS * CYCLES["norm"],
        ("text", "attention", "backward"): LAYERS * CYCLES["attention"],
        ("image", "copy", "outside"): CYCLES["converted"],
        ("optimizer", "optimizer", "outside"): CYCLES["update"],
    }
    assert sum(found.values()) == program.cycles


def test_kernels_count_by_what_was_scheduled():
    program = hlo.Program(STEP)
    assert program.uncounted == LAYERS
    program.bundles = {"kernel": 300, "update": 10}
    found = {(row["part"], row["kind"]): row for row in breakdown.rows(program, V5E)}
    assert program.uncounted == 0
    assert program.cycles == sum(row["cycles"] for row in found.values())
    assert found["image", "attention"]["cycles"] == LAYERS * 300
    assert found["image", "attention"]["scheduled"] == found["image", "attention"]["seconds"]
    assert found["optimizer", "optimizer"]["cycles"] == CYCLES["update"]
    assert found["optimizer", "optimizer"]["scheduled"] == 10 / V5E.clock


def test_products_say_their_share_of_the_peak_and_what_is_fused_with_them():
    row = breakdown.rows(hlo.Program(STEP), V5E)[0]
    assert row["flops"] == LAYERS * 2 * 64 * 768 * 3072
    assert row["of_peak"] == pytest.approx(row["flops"] / row["seconds"] / V5E.peak)
    assert row["fused"] == ["copy", "activation"]


@pytest.mark.parametrize(
    ("left", "right", "result", "written", "summed"),
    [
        ("64,197,768", "768,3072,1", "64,197,3072", "window={size=1}, dim_labels=0bf_io0->0bf", 768),
        (  # queries: heads are places of a window that the padding leads over
            "64,197,768,1",
            "768,12,64,1",
            "64,197,12,64",
            "window={size=1x12 pad=0_0x11_11 rhs_reversal=0x1}, dim_labels=0bf1_i1o0->0b1f",
            768,
        ),
        ("64,197,12,64", "768,12,64,1", "64,197,768,1", "window={size=1x12}, dim_labels=0b1f_o1i0->0bf1", 12 * 64),
        (  # the gradient of their weights, summed over images and tokens
            "64,197,768,1",
            "64,197,12,64",
            "768,12,64,1",
            "window={size=12x64 pad=11_11x0_0 rhs_reversal=1x0}, dim_labels=1fb0_1i0o->b0f1",
            64 * 197,
        ),
        (  # a product for each image and head
            "64,12,197,64",
            "64,12,197,64",
            "64,12,197,197",
            "window={size=64x12 stride=63x11 lhs_dilate=64x12}, dim_labels=01bf_01oi->01bf",
            64,
        ),
        ("12,197,64", "12,197,64", "12,197,197", "lhs_batch_dims={0}, lhs_contracting_dims={2}", 64),
    ],
)
def test_products_are_counted_in_every_notation(left, right, result, written, summed):
    operation = "dot" if "lhs" in written.split("=")[0] else "convolution"
    text = f"""ENTRY %main (a: f32[{left}], b: f32[{right}]) -> f32[{result}] {{
  %a = f32[{left}] parameter(0)
  %b = f32[{right}] parameter(1)
  ROOT %c = f32[{result}] {operation}(%a, %b), {written}
}}
"""
    program = hlo.Program(text)
    elements = math.prod(hlo.numbers(result))
    assert products.count(program, program.instructions["c"]) == 2 * elements * summed


def test_a_compiler_that_estimates_no_cycles_leaves_nothing_to_break_down():
    compiled = jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((8, 8), np.float32)).compile()
    assert breakdown.rows(hlo.Program(compiled.as_text()), V5E) == []
