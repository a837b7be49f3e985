# `make demo` and `make test` do all the set-up themselves; only Python >= 3.11 must be there.
PYTHON ?= python3
EXTRAS ?=
JOBS ?= 2
VENV := .venv
comma := ,

.PHONY: demo test test-all test-faults wheel-test lint docs clean

demo: $(VENV)/installed
	$(VENV)/bin/actionclip demo

# a file of tests stays with one process, which then makes its data and compiles its models once
test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# all but the faults that take minutes each, which `make test-faults` runs
test-all: test
	$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "(slow or faults) and not (slow and faults)"

# the wheel, installed outside the checkout
wheel-test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -m "slow or not slow" tests/package

test-faults: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest tests/faults -m faults

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/ty check --python $(VENV)

# docs/ and the reference made from docstrings, as pages in site/
docs: $(VENV)/installed-dev
	$(VENV)/bin/mkdocs build

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

clean:
	rm -rf $(VENV) outputs site
