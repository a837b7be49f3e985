"""Eight virtual CPU devices, as a data-parallel mesh would have; no network; compiled programs kept between runs."""

import os
import pathlib

# compiling takes most of the time, of programs that run for milliseconds: LLVM leaves them unoptimised, and fusions are
# written out by the older emitters, which are three times as quick; and as several processes of tests share the cores,
# neither XLA's code generation nor PyTorch's products are divided further
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8 "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false"
)
if not pathlib.Path("/dev/nvidiactl").exists():  # a GPU's kernels would be left unoptimised too
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import clip_sets
import jax
import messages
import pytest

from actionclip_jax.data.shapes import sample_set

LONGEST = ("test_train.py", "test_training.py", "test_evaluate.py", "test_demo.py", "test_models.py", "test_compile.py")


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that no process is left with one of them when the others are done."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.fixture(scope="session")
def video_directory(tmp_path_factory):
    """The videos of `clip_sets.make_clips`, written once."""
    directory = tmp_path_factory.mktemp("videos")
    clip_sets.make_clips(directory)
    return directory


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The small sample data set, written once."""
    directory = tmp_path_factory.mktemp("sample") / "set"
    sample_set.make_sample_set(directory, clip_sets.SAMPLE, processes=1)
    return str(directory)


@pytest.fixture
def one_device(monkeypatch):
    """Most runs need no more, and start in half the time."""
    devices = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: devices[:1])


@pytest.fixture
def told():
    """The lines that the library tells people during the test."""
    with messages.heard() as lines:
        yield lines
