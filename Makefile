# `make` lists the verbs. Nothing but Python 3.11 and make is assumed: the rest goes into .venv, pinned by the lock files.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
export NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test nightly chaos check audit format bench lock docs clean chromium

help: ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.serve ## set up .venv to run the product

demo: $(VENV)/.serve ## a demo district, the server on :9090, one query answered
	$(BIN)/eduanalytics demo $(ARGS)

test: $(VENV)/.dev tests/npm/node_modules/.installed chromium ## run the tests on real stores
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not nightly" $(ARGS)

nightly: $(VENV)/.dev tests/npm/node_modules/.installed chromium ## run the long tests too
	PATH="$(CURDIR)/$(BIN):$$PATH" EDU_HYPOTHESIS=nightly $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: $(VENV)/.dev ## kill -9 of loaders, API and both stores while clients write (ARGS="--seconds 90")
	$(BIN)/python -m tests.chaos $(ARGS)

check: $(VENV)/.dev ## lint, types, imports, known holes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict api core engine ingestion realtime benchmarks tests
	$(BIN)/lint-imports
	$(BIN)/python -m tests.audit --perhaps

audit: $(VENV)/.dev ## known holes in the dependencies (needs the network)
	$(BIN)/python -m tests.audit

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

bench: $(VENV)/.dev ## speed and memory, with ratios against a bound measured in the same run
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.dev ## write the reference pages from the code
	$(BIN)/python -m docs.generate

lock: $(VENV)/.dev ## pin every dependency anew
	$(BIN)/uv pip compile -q pyproject.toml --group build --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --group build --group dev --universal --python-version 3.11 -c requirements.lock \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-dev.lock

clean: ## remove what the other verbs made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/npm/node_modules

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); sh deploy/install-venv.sh && $(PYTHON) -m venv $(VENV); }

$(VENV)/.serve: requirements.lock pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.serve
	$(BIN)/pip install -q --require-hashes -r requirements-dev.lock
	touch $@

tests/npm/node_modules/.installed: tests/npm/package-lock.json $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix tests/npm ci --no-fund --no-audit --loglevel=error
	cp $< $@

chromium:
	sh deploy/install-chromium.sh
