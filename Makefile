# Every job of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
LOCKS := deploy/locks
PORT ?= 8000

help:  ## List the jobs
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(VENV)/.serve  ## Serve the demo on http://localhost:8000 (no Docker, no torch, embedded store); STORE=URL serves another store
	$(BIN)/onebar demo --port $(PORT)$(STORE:%= --store %)

# A process of tests for each core. The tests of a file run in one process, because they share servers and models.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev redis promtool chromium  ## Run all tests; ARGS are for pytest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(PARALLEL) $(ARGS)

test-spark:  ## Compare Spark with DuckDB (installs Java 17 as root if there is none, and PySpark in .venv-spark)
	PYTHON=$(PYTHON) bash tests/spark.sh

lint: $(VENV)/.dev  ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

closure: $(VENV)/.serve  ## Install the locked serving closure into a clean environment and import the service
	$(install-closure)
	.venv-closure/bin/python tests/closure.py
	rm -rf .venv-closure

lock: $(VENV)/.serve $(TOOLS)/.done  ## Lock the packages of the images and the tools: versions of constraints.txt, and hashes
	$(compile) pyproject.toml -o $(LOCKS)/serving.txt
	$(compile) pyproject.toml --extra loadtest -o $(LOCKS)/loadtest.txt
	$(compile) --group tools -o $(LOCKS)/tools.txt
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' | \
		$(compile) - -o $(LOCKS)/build.txt

sbom: $(VENV)/.serve $(TOOLS)/.done  ## List the components of the serving closure (CycloneDX) in var/sbom.json
	$(install-closure)
	mkdir -p var && $(TOOLS)/bin/cyclonedx-py environment .venv-closure/bin/python --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file var/sbom.json
	rm -rf .venv-closure

audit: $(TOOLS)/.done  ## Look for known vulnerabilities in the serving closure; status 2 if no advisories are available
	$(TOOLS)/bin/python deploy/audit.py $(LOCKS)/serving.txt

format: $(VENV)/.dev  ## Format the source
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

C_FILES := $(wildcard generation/*/*.[ch])

lint-native: $(VENV)/.dev  ## Check the style of the C files
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)

format-native: $(VENV)/.dev  ## Format the C files
	$(BIN)/clang-format -i $(C_FILES)

sanitize: $(VENV)/.dev  ## Test the compiled parts under AddressSanitizer and UBSan, warnings as errors
	BIN=$(BIN) bash tests/sanitize.sh

loadtest: $(VENV)/.dev redis  ## Run a minute of load on the demo; fails if p99 is over 30 ms at 20 requests a second
	$(BIN)/python -m loadtest.run $(ARGS)

bench: $(VENV)/.dev redis  ## Time generation and the feature store on this machine
	mkdir -p var/benchmarks && $(BIN)/python -m benchmarks.generation_latency --output var/benchmarks/generation_latency.json
	$(BIN)/python -m benchmarks.feature_store --output var/benchmarks/feature_store.json

# The shops of the foundation, by seed, and one more to choose its best checkpoint on. Their departments leave out pets
# and crafts, whose words therefore are new to the foundation wherever it meets them.
SHOPS := $(shell seq 1001 1024)
SHOP_SIZE := --videos 3000 --users 1500 --impressions-per-day 12000
KNOWN := $(patsubst %,--departments '%',kitchen beauty fashion_women fashion_men phones computers home fitness outdoors baby \
	toys auto garden)
KNOWN := $(subst _, ,$(KNOWN))
# One process on each GPU, or with one thread on each core.
PROCESSES := $(shell nvidia-smi -L 2>/dev/null | grep -c . | grep -vx 0 || nproc)
TORCHRUN := $(BIN)/torchrun --nproc-per-node $(PROCESSES) --no-python

var/shops/%/report.json: | $(VENV)/.dev
	$(BIN)/onebar world var/worlds/$* --seed $* $(SHOP_SIZE) $(KNOWN)
	$(BIN)/onebar offline examples var/worlds/$* var/shops/$*

# A simulated shop where LOGS is no folder yet; WORLD has options of `onebar world`. The shop of the demo is seed 7.
LOGS := var/world
WORLD := --seed 7
EMBEDDER := $(wildcard demo/bundle/embedder)

evidence: $(VENV)/.dev  ## Make all evidence of LOGS (var/world) in var/build, and publish it to STORE (a file in var/)
	test -e $(LOGS) || $(BIN)/onebar world $(LOGS) $(WORLD)
	$(BIN)/onebar offline build $(LOGS) var/build $(if $(EMBEDDER),--embedder $(EMBEDDER),--hashed) $(ARGS)
	$(BIN)/onebar evidence publish var/build --store $(or $(STORE),sqlite:///var/evidence.db) --raw-user-ids

foundation: $(patsubst %,var/shops/%/report.json,$(SHOPS) 1101)  ## Train var/foundation on 24 simulated shops, for --init-from (about three hours on two cores; TRAIN_ARGS are for the training)
	$(BIN)/onebar train tokenizer $(SHOPS:%=var/worlds/%) var/tokenizer.json
	$(TORCHRUN) $(BIN)/onebar train sft $(SHOPS:%=var/shops/%) var/foundation --tokenizer var/tokenizer.json \
		--config training/configs/foundation.yaml --validate-on var/shops/1101 --resume $(TRAIN_ARGS)

# The shop of the demo: its logs, its embedder, its examples.
define demo-shop
$(BIN)/onebar world var/world --seed 7
$(BIN)/onebar offline embedder var/world var/embedder
$(BIN)/onebar offline examples var/world var/examples --embedder var/embedder
endef

var/examples/report.json: | $(VENV)/.dev
	$(demo-shop)

demo-model: foundation  ## Rebuild the shipped demo: foundation, its adaptation to the demo's shop, Stage II, bundle, evidence (TRAIN_, ADAPT_, ALIGN_ and EVALUATE_ARGS are for its steps)
	$(demo-shop)
	$(BIN)/onebar world var/worlds/201 --seed 201 $(KNOWN)
	$(BIN)/onebar offline examples var/worlds/201 var/unseen/201
	$(TORCHRUN) $(BIN)/onebar train sft var/examples var/checkpoint --init-from var/foundation --resume \
		--set optim.max_minutes=45 --set answer_removal=0.2 $(ADAPT_ARGS)
	$(BIN)/onebar train average var/foundation var/checkpoint var/averaged --validate-on var/examples --share 0.65
	$(BIN)/onebar offline lists var/world var/lists --embedder var/embedder --first-day 7
	$(TORCHRUN) $(BIN)/onebar train preference var/lists var/aligned --init-from var/averaged --validate-on var/examples --resume \
		--set optim.max_steps=150 --set optim.max_minutes=null --set validation.every_steps=150 $(ALIGN_ARGS)
	$(BIN)/onebar export var/aligned demo/bundle --embedder var/embedder --calibration-inputs var/examples/examples_train.parquet --parity-inputs var/examples/examples_test.parquet
	$(BIN)/onebar offline evidence var/world var/photos.jsonl.gz --as-of-day 11 --embedder var/embedder --no-embeddings
	$(BIN)/onebar offline users var/world var/users.jsonl.gz --as-of-day 11 --embedder var/embedder --no-embeddings
	$(BIN)/onebar demo-evidence var/world var/photos.jsonl.gz var/users.jsonl.gz demo/evidence
	$(BIN)/onebar demo-feed var/world demo/evidence
	$(BIN)/onebar evaluate demo/bundle --examples var/examples --labels var/world/truth/safety.parquet \
		--truth var/world/truth --unseen var/unseen/201 --truth var/worlds/201/truth --out var/evaluation $(EVALUATE_ARGS)
	$(BIN)/onebar record demo/bundle var/evaluation.json

# CONFIG is a file with other inputs (docs/ablations.md). Without it, the foundation and the demo's shop are made first.
ablations: $(VENV)/.dev $(if $(CONFIG),,foundation var/examples/report.json)  ## Make Tables 3 to 7 and Figures 4 to 7 of the paper in var/ablations/report (nights on two cores, resumable)
	$(BIN)/python -m benchmarks.ablations $(or $(CONFIG),benchmarks/ablations/full.yaml) --work $(or $(WORK),var/ablations) $(ARGS)

SMOKE := var/ablations-smoke

ablations-smoke: $(VENV)/.dev  ## Smoke test of the ablations: every path on a tiny shop, at most 15 minutes; the figures mean nothing
	rm -rf $(SMOKE)
	$(BIN)/onebar world $(SMOKE)/world --seed 7 --videos 300 --users 200 --days 5 --impressions-per-day 600
	$(BIN)/onebar offline examples $(SMOKE)/world $(SMOKE)/examples
	$(BIN)/onebar train tokenizer $(SMOKE)/world $(SMOKE)/tokenizer.json --size 1000
	$(BIN)/python -m benchmarks.ablations benchmarks/ablations/smoke.yaml --work $(SMOKE)/work

# Without pip of its own, like the image.
define install-closure
rm -rf .venv-closure && $(PYTHON) -m venv --without-pip .venv-closure
$(BIN)/pip --python .venv-closure/bin/python install -q --require-hashes --only-binary :all: -r $(LOCKS)/serving.txt
$(BIN)/pip --python .venv-closure/bin/python install -q --no-deps .
endef

# Versions in an existing lock are kept if constraints.txt allows them.
compile = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' -c constraints.txt

$(TOOLS)/.done: $(LOCKS)/tools.txt
	rm -rf $(TOOLS) && $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install -q --require-hashes --only-binary :all: -r $(LOCKS)/tools.txt
	touch $@

redis:
	@bash tests/ensure.sh redis

chromium:
	@bash tests/ensure.sh chromium

promtool: $(VENV)/.dev
	@bash tests/ensure_promtool.sh $(BIN)

# The environment of serving, and its extension with the dependencies of the other jobs.
$(VENV)/.serve: pyproject.toml setup.py constraints.txt $(wildcard generation/*/*.[ch] generation/native/*.txt)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "OneBar needs Python 3.11 or 3.12; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[serve]'
	touch $@

$(VENV)/.dev: $(VENV)/.serve
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: help run test test-spark lint lint-native closure lock sbom audit format format-native sanitize loadtest bench evidence foundation demo-model ablations ablations-smoke redis \
	promtool chromium
