"""The wheel, installed where no checkout is: `make wheel-test`."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
import videos

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ("actionclip_jax", "configs", "LICENSE", "README.md", "pyproject.toml", "requirements.txt", "setup.py")
SMALL = (
    *("image.size=32", "image.patch=16", "image.width=32", "image.depth=1", "image.heads=1"),
    *("text.width=32", "text.depth=1", "text.heads=1", "temporal.depth=1", "temporal.heads=1", "embed_width=32"),
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    checkout, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:  # a copy, as a build leaves files that the next one would take in
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, checkout / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, checkout)
    [file] = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def actionclip(wheel, tmp_path_factory):
    """The command of the wheel in an environment of its own, which has only the packages here besides."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    python = environment / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    [site] = environment.glob("lib/*/site-packages")
    # put on the path, but no site: an editable installation there has no say
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))

    def run(directory, *arguments):
        command = [environment / "bin" / "actionclip", *map(str, arguments)]
        return subprocess.run(command, cwd=directory, env=outside(), capture_output=True, text=True, timeout=300)

    return run


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, env=outside())


def outside():
    """The environment without a path to the checkout and the eight devices of the other tests."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}


def test_the_wheel_holds_the_package_its_types_and_the_configs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {
        f"actionclip_jax/{file.relative_to(ROOT / 'actionclip_jax')}"
        for file in (ROOT / "actionclip_jax").rglob("*.py")
    }
    configs = {f"actionclip_jax/configs/{file.name}" for file in ROOT.glob("configs/*.py")}
    assets = {f"{file.relative_to(ROOT)}" for file in ROOT.glob("actionclip_jax/assets/*")}
    assert names == modules | configs | assets | {"actionclip_jax/py.typed"}


def test_the_command_says_its_version_and_which_configurations_it_has(actionclip, tmp_path):
    shown = actionclip(tmp_path, "--version")
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "actionclip")
    refused = actionclip(tmp_path, "train", "--config", "k400")
    assert refused.returncode == 2 and "k400_vit_b16_8f" in refused.stderr and "sample" in refused.stderr


def test_a_published_configuration_is_tried_on_videos_anywhere(actionclip, tmp_path):
    for name in ("surfing", "archery"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for index in range(2):
            videos.write(tmp_path / "videos" / name / f"{index}.mp4")
    settings = [f"--config.model.{setting}" for setting in SMALL]
    settings += ["--config.init_from=", "--config.data.sample.size=32", "--config.data.loader.batch_size=2"]
    settings += ["--config.data.train.path=videos", "--config.data.test.path=videos", "--config.compute.dtype=float32"]
    tried = actionclip(tmp_path, "train", "--config", "k400_vit_b16_8f", "--dry-run", *settings)
    assert tried.returncode == 0, tried.stderr
    assert "one of" in tried.stderr and "nothing was written" in tried.stderr
