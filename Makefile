# `make demo` and `make test` need nothing but Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test docs format lint types audit clean

help:
	@echo "make demo    train, export and compare on the 8x8 digits, into cvhn-demo/ (offline once installed)"
	@echo "make test    run the tests"
	@echo "make docs    build the documentation, into site/ (offline once installed)"
	@echo "make format  format the code"
	@echo "make lint    check the code"
	@echo "make types   check the type hints"
	@echo "make audit   look up known vulnerabilities of the dependencies (asks the network)"
	@echo "make clean   remove the virtual environment, the demo and caches"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Expected Python 3.11 or newer. Set it by: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED)
	$(VENV)/bin/cvhn-tf demo

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "Wrote site/index.html"

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lint: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

# The checker does not follow the package map of pyproject.toml, so it gets the folders as they are installed.
types: $(INSTALLED)
	rm -rf build/types && mkdir -p build/types/cvhn_tf
	ln -s $(CURDIR)/cvhn_tf/* build/types/cvhn_tf/
	ln -s $(CURDIR)/export build/types/cvhn_tf/export
	ln -s $(CURDIR)/cli build/types/cvhn_tf_cli
	$(VENV)/bin/mypy

audit: $(INSTALLED)
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)/bin/python -m pip freeze --exclude-editable > build/audit/installed.txt
	build/audit/bin/pip-audit --no-deps --disable-pip -r build/audit/installed.txt

clean:
	rm -rf $(VENV) cvhn-demo build site .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
