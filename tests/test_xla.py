import jax
import pytest

from actionclip_jax import sharding, xla


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
