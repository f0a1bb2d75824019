# Every job of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000

help:  ## List the jobs
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/.serve  ## Serve the demo on http://localhost:8000 (no Docker, no torch, embedded store)
	$(BIN)/onebar demo --port $(PORT)

test: $(VENV)/.dev redis  ## Run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

lint: $(VENV)/.dev  ## Style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

closure:  ## Install only what serving needs into a clean environment and import the service
	rm -rf .venv-closure && $(PYTHON) -m venv .venv-closure
	.venv-closure/bin/pip install -q -c constraints.txt '.[serve]'
	.venv-closure/bin/python tests/closure.py
	rm -rf .venv-closure

format: $(VENV)/.dev  ## Format the source
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

redis:
	@bash tests/integration/ensure_redis.sh

# An environment that serves, and the same with everything that the other jobs need.
$(VENV)/.serve: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "OneBar needs Python 3.11 or 3.12; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[serve]'
	touch $@

$(VENV)/.dev: $(VENV)/.serve
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: help run test lint closure format redis
