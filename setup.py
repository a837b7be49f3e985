"""Adds to pyproject.toml what it cannot say: the wheel holds `configs/`, which lies beside the package, inside it."""

import setuptools

setuptools.setup(
    packages=[*setuptools.find_packages(include=["actionclip_jax*"]), "actionclip_jax.configs"],
    package_dir={"actionclip_jax.configs": "configs"},
)
