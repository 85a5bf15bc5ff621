# Each target makes its own virtual environment, and as root on Debian installs the servers it needs (.ci/servers).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean servers

demo: $(VENV)/.installed
	@$(BIN)/reporter demo

test: $(VENV)/.installed $(VENV)/sdks/.installed
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	@for script in benchmarks/*.py; do echo "── $$script"; $(BIN)/python $$script || exit 1; done

# Two versions of one SDK can't be installed side by side, so each has a directory of its own.
$(VENV)/sdks/.installed: tests/sdks.txt | $(VENV)/.installed
	@echo 'Installing the SDKs that tests use into $(VENV)/sdks …'
	@grep -v '^#' $< | while read -r name requirement; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/sdks/$$name "$$requirement" \
	    || { echo "$$requirement could not be installed: tests of it are left out, and fail in CI" >&2; rm -rf $(VENV)/sdks/$$name; }; \
	done
	@touch $@

servers:
	@PYTHON='$(PYTHON)' .ci/servers

$(VENV)/.installed: pyproject.toml | servers
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'reporter needs Python 3.11 or newer; name one: make PYTHON=python3.12' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo 'Installing Python packages into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
