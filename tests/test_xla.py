"""What XLA is told, by target, and what is chosen by how fast a device multiplies."""

import argparse

import jax
import pytest

from actionclip_jax import sharding, xla
from actionclip_jax.cli import arguments


def double(options):
    return jax.jit(lambda x: 2 * x, compiler_options=options)(1.0)


def test_the_compiler_knows_every_gpu_option():
    assert double(xla.GPUS | xla.GPU_ELSEWHERE) == 2  # XLA reads the options of all its platforms on each of them
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        double({"xla_gpu_no_such_option": True})


def test_flags_of_the_environment_win(monkeypatch):
    with jax.set_mesh(sharding.make_mesh()):
        assert xla.options("float32") == xla.CPU_FLOAT32 and xla.options("bfloat16") == {}
        monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x --xla_cpu_experimental_ynn_fusion_type=")
        assert xla.options("float32") == {}


@pytest.mark.parametrize(("rate", "dtype"), [(1.4, "float32"), (1.9, "bfloat16")])
def test_auto_is_bfloat16_where_it_multiplies_much_faster(monkeypatch, rate, dtype):
    monkeypatch.setattr(xla, "matmul_rate", {"float32": 1.0, "bfloat16": rate}.__getitem__)
    options = argparse.Namespace(dtype="auto", attention="auto", interpolate_positions=False)
    assert arguments.read_computation(options).dtype == options.dtype == dtype
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    options.dtype = "auto"
    with pytest.raises(ValueError, match="--dtype auto is for one process"):
        arguments.read_computation(options)
