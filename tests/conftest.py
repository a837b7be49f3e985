"""Eight virtual CPU devices, as a data-parallel mesh would have; no network; compiled programs kept between runs."""

import os
import pathlib

os.environ["XLA_FLAGS"] = (  # tests compile for longer than they compute
    "--xla_backend_optimization_level=1 --xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's: several processes of tests share the cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import clip_sets
import pytest


@pytest.fixture(scope="session")
def video_directory(tmp_path_factory):
    """The videos of `clip_sets.make_clips`, written once."""
    directory = tmp_path_factory.mktemp("videos")
    clip_sets.make_clips(directory)
    return directory
