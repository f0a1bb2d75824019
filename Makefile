# Every job of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000

help:  ## List the jobs
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

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

C_FILES := $(wildcard generation/*/*.[ch])

lint-native: $(VENV)/.dev  ## Style of the C files
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)

format-native: $(VENV)/.dev  ## Format the C files
	$(BIN)/clang-format -i $(C_FILES)

sanitize: $(VENV)/.dev  ## Test the compiled parts under AddressSanitizer and UBSan, warnings as errors
	BIN=$(BIN) bash tests/sanitize.sh

loadtest: $(VENV)/.dev redis  ## A minute of load on the demo; fails when p99 is over 30 ms at 20 requests a second
	$(BIN)/python -m loadtest.run $(ARGS)

bench: $(VENV)/.dev redis  ## Time generation and the feature store on this machine
	mkdir -p var/benchmarks && $(BIN)/python -m benchmarks.generation_latency --output var/benchmarks/generation_latency.json
	$(BIN)/python -m benchmarks.feature_store --output var/benchmarks/feature_store.json

demo-model: $(VENV)/.dev  ## Make the shipped demo anew: world, training, bundle, evidence (about two hours on two cores)
	$(BIN)/onebar world var/world --seed 7
	$(BIN)/onebar offline examples var/world var/examples
	$(BIN)/onebar train tokenizer var/world var/tokenizer.json
	$(BIN)/onebar train pretrain var/examples var/pretrained --tokenizer var/tokenizer.json --world var/world
	$(BIN)/onebar train sft var/examples var/checkpoint --init-from var/pretrained
	$(BIN)/onebar export var/checkpoint demo/bundle --calibration-inputs var/examples/examples_train.parquet --parity-inputs var/examples/examples_test.parquet
	$(BIN)/onebar offline evidence var/world var/photos.jsonl.gz --as-of-day 11 --no-embeddings
	$(BIN)/onebar offline users var/world var/users.jsonl.gz --as-of-day 11 --no-embeddings
	$(BIN)/onebar demo-evidence var/world var/photos.jsonl.gz var/users.jsonl.gz demo/evidence
	$(BIN)/onebar evaluate demo/bundle --examples var/examples --labels var/world/truth/safety.parquet --out var/evaluation
	$(BIN)/onebar record demo/bundle var/evaluation.json

redis:
	@bash tests/integration/ensure_redis.sh

# An environment that serves, and the same with everything that the other jobs need.
$(VENV)/.serve: pyproject.toml setup.py constraints.txt $(wildcard generation/*/*.[ch] generation/native/*.txt)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "OneBar needs Python 3.11 or 3.12; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[serve]'
	touch $@

$(VENV)/.dev: $(VENV)/.serve
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: help run test lint lint-native closure format format-native sanitize loadtest bench demo-model redis
