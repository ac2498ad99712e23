# `make demo` and `make test` need nothing but Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-oldest test-newest test-clients docs format lint types layout pins verify-hashes audit clean

help:
	@echo "make demo    train, export and compare on the 8x8 digits, into cvhn-demo/ (offline once installed)"
	@echo "make test    run the tests"
	@echo "make test-all  run them with all cases of each kind"
	@echo "make test-oldest | test-newest  run some of them with the oldest, or with today's newest, dependencies"
	@echo "make test-clients  make files for every client, run them in the real ones, and write docs/clients.md"
	@echo "make docs    build the documentation, into site/ (offline once installed)"
	@echo "make format  format the code"
	@echo "make lint    check the code, and that imports go one way"
	@echo "make types   check the type hints"
	@echo "make pins    write constraints-oldest.txt and requirements-hashed.txt anew, of pyproject.toml and constraints.txt"
	@echo "make verify-hashes  install by requirements-hashed.txt alone, and look whether it works"
	@echo "make audit   look up known vulnerabilities of the pinned dependencies (asks the network)"
	@echo "make clean   remove the virtual environment, the demo and caches"

# The version stands in cvhn_tf/__init__.py, and in the metadata of what is installed.
$(INSTALLED): pyproject.toml constraints.txt cvhn_tf/__init__.py
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Expected Python 3.11 or newer. Set it by: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(VENV)/bin/cvhn-tf demo

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

test-all: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m ""

# Each an environment of its own. They leave out what trains long and what looks at this repository alone.
COMPATIBILITY := $(addprefix tests/, $(addsuffix .py, \
	project/test_dependencies project/test_warnings cli/test_doctor test_hypernetwork layers/test_variational \
	priors/test_priors test_datasets export/conversion/test_convert export/compaction/test_compact \
	export/packing/test_packed export/conversion/test_encodings export/delivery/test_metadata \
	export/comparison/test_compare export/comparison/test_report \
	export/quantization_aware_training/test_quantization_aware cli/test_commands cli/test_bad_input))

test-oldest:
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[dev]"
	build/oldest/bin/python -m pytest $(COMPATIBILITY)

test-newest:
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e ".[dev]"
	build/newest/bin/python -m pytest $(COMPATIBILITY)

# Each client gets an environment of its own below build/clients. `make test-clients CLIENTS=tflite,node` runs two of them.
test-clients: $(INSTALLED)
	$(VENV)/bin/python -m benchmarks.clients.matrix $(if $(CLIENTS),--clients $(CLIENTS))

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "Wrote site/index.html"

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lint: $(INSTALLED) layout
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	cd $(LAYOUT) && $(CURDIR)/$(VENV)/bin/lint-imports --no-cache --config $(CURDIR)/pyproject.toml

types: $(INSTALLED) layout
	$(VENV)/bin/mypy

# These checkers do not follow the package map of pyproject.toml, so they get the folders as they are installed.
LAYOUT := build/layout

layout:
	rm -rf $(LAYOUT) && mkdir -p $(LAYOUT)
	cp -r cvhn_tf $(LAYOUT)/
	cp -r export $(LAYOUT)/cvhn_tf/
	cp -r cli $(LAYOUT)/cvhn_tf_cli

# uv passes over the upper bounds on Python that packages give, such as that of later versions of backports.strenum.
COMPILE := build/pins/bin/uv pip compile --quiet --upgrade --all-extras --no-annotate --python-version 3.11 pyproject.toml

pins:
	$(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --disable-pip-version-check uv
	echo "backports.strenum<1.3" > build/pins/limits.txt
	$(COMPILE) --constraint build/pins/limits.txt --resolution lowest-direct --custom-compile-command "make pins" -o constraints-oldest.txt
	$(COMPILE) --constraint constraints.txt --generate-hashes --custom-compile-command "make pins" -o requirements-hashed.txt

verify-hashes:
	rm -rf build/verified
	$(PYTHON) -m venv build/verified
	build/verified/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-hashed.txt
	build/verified/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation .
	build/verified/bin/python -m pip check
	build/verified/bin/cvhn-tf doctor

# Strict, since pip-audit would pass over packages that the registry does not answer for, and call that no vulnerability.
audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-hashed.txt

clean:
	rm -rf $(VENV) cvhn-demo build site .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
