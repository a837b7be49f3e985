# `make demo` and `make test` do all the set-up themselves; only Python >= 3.11 must be there.
PYTHON ?= python3
EXTRAS ?=
JOBS ?= 2
VENV := .venv
comma := ,

.PHONY: demo test test-all wheel-test lint wheels clean

demo: $(VENV)/installed
	$(VENV)/bin/actionclip demo

# a file of tests stays with one process, which then makes its data and compiles its models once
test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

test-all: test
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "slow or faults"

# the wheel, installed outside the checkout
wheel-test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -m "slow or not slow" tests/package

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/ty check --python $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, $(PYTHON) is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# EXTRAS=cuda (NVIDIA GPUs) or EXTRAS=tpu installs JAX for the accelerator as well
$(VENV)/installed: requirements.txt pyproject.toml setup.py | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.$(if $(EXTRAS),[$(EXTRAS)])'
	touch $@

$(VENV)/installed-dev: requirements.txt pyproject.toml setup.py | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev$(if $(EXTRAS),$(comma)$(EXTRAS))]'
	touch $@ $(VENV)/installed

# What `benchmarks/one_gpu.py` needs on a machine without a network that has Python 3.12, JAX and PyTorch. Left out is what
# comes with these two or stands beside them in most images, and would more than double the size: opencv-python-headless,
# transformers, pyarrow, matplotlib, scikit-learn, pytest. The script says what is missing; WHEELS="$(WHEELS) name" adds it.
WHEELS ?= av array_record grain flax optax orbax-checkpoint ml_collections tensorboardX ftfy wcwidth importlib_resources \
	tensorflow-datasets tensorflow-metadata googleapis-common-protos immutabledict simple-parsing docstring-parser toml \
	termcolor etils dm-tree six
GLIBC := $(foreach version,28 27 24 17,--platform manylinux_2_$(version)_x86_64) --platform manylinux2014_x86_64

wheels: | $(VENV)/bin/python
	rm -rf wheels
	$(VENV)/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp $(GLIBC) \
		--constraint requirements.txt --dest wheels $(WHEELS)
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir wheels promise # of tensorflow-datasets; has no wheel
	@ls -lS wheels | awk 'NR > 1 { print $$5, $$9; total += $$5 } END { printf "%.1f MiB in wheels/\n", total / 2^20 }'

clean:
	rm -rf $(VENV) outputs
