"""What XLA makes of a training step for GPUs that are not here, where its compiler for them is installed."""

import importlib.util
import re

import jax
import pytest

from actionclip_jax.aot import compile, topologies
from actionclip_jax.config import config_file

CONFIG = """
from actionclip_jax.config import config_file


def get_config():
    run = config_file.default()
    run.model.image.update(size=32, patch=16, width=64, depth=2, heads=2)
    run.model.text.update(width=64, depth=2, heads=2)
    run.model.update(embed_width=64, frames=2)
    run.data.sample.update(frames=2, size=32)
    run.data.train.path = "not/here"
    run.data.expect.update(clips=1000, classes=10, text_tokens=16)
    run.data.loader.batch_size = 96
    run.compute.dtype, run.compute.layers = "bfloat16", "unroll"
    return run
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)),
        reason="XLA's compiler for NVIDIA GPUs is not installed",
    ),
]


def test_rows_stay_outermost_and_on_their_device(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    plan = compile.Plan(config_file.load(str(path)), topologies.describe("h200:2"))
    with jax.set_mesh(plan.mesh):
        text = compile.trace_plan(plan).lower().compile().as_text()
    images, tokens, width = 96, 5, 64  # on each of the two
    assert re.search(rf"\[{images},{tokens},{width}\]{{2,1,0}}", text)
    assert not re.search(rf"\[{tokens},{width},{images}\]{{2,1,0}}", text)  # as XLA would have it
    assert not re.search(rf"\[{2 * images},{tokens},{width}\]", text)
