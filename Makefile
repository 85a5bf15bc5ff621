# Each target makes its own virtual environment, and as root on Debian installs the servers it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVERS := postgresql prometheus prometheus-pushgateway prometheus-alertmanager

.PHONY: test lint bench clean servers

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

servers:
	@missing=; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	for program in prometheus prometheus-pushgateway prometheus-alertmanager; do \
	  command -v $$program >/dev/null 2>&1 || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "To run everything, install:$$missing (Debian: sudo apt-get install$$missing). Going on with what is here."; fi

test: $(VENV)/.installed servers
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	@for script in benchmarks/*.py; do echo "── $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
