"""The documentation as a site: every link leads somewhere, and every name of the reference exists."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_the_site_is_built_and_has_the_reference(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api" / "index.html").read_text()
    for name in ("actionclip_jax.loading.load", "actionclip_jax.inference.predict.Predictor.predict"):
        assert f'id="{name}"' in reference
