# The front door: `make help` lists what there is. Everything runs in .venv, which `make setup` makes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Steps print in the order in which they are listed, also under `make -j`.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON3 ?= python3
BIN := .venv/bin
UV := $(shell command -v uv || echo .venv-uv/bin/uv)
# An activated environment of another project must not be the one that is changed.
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV
# Demo and tests start processes by the dozen: compiled once, each of them starts in half the time.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

TYPED := $(wildcard grit gtm dbtm log_players sample_services tests bench)
GENERATED := grit/pb/v1
PYTEST := $(BIN)/python -m pytest
say = @printf '\n\033[1m== %s\033[0m\n' "$(1)"

# SEEDS=n runs the first n seeds of the simulator, FIRST=f begins elsewhere, FOR=s runs for so long, SEED=k shows that one.
SIM_FLAGS := $(if $(SEEDS),--seeds=$(SEEDS)) $(if $(FIRST),--first=$(FIRST)) $(if $(FOR),--seconds=$(FOR)) $(if $(SEED),--seed=$(SEED))

# Too long for `make test`; CI runs them beside it.
LONG := tests/e2e/test_crash_matrix.py tests/e2e/test_elector.py tests/e2e/test_rebuild.py

.PHONY: help setup demo test test-long crash-matrix stack stack-down test-stack check format format-check lint types import-rules proto proto-check bench sim scenarios sim-mutations clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.set-up ## Install Python packages into .venv, exactly as locked; nothing to do when up to date

.venv/.set-up: pyproject.toml uv.lock
	@[[ -x $(UV) ]] || $(MAKE) $(UV)
	$(call say,setup: installing the locked packages into .venv)
	@$(UV) sync --frozen
	@touch $@

.venv-uv/bin/uv:
	$(call say,setup: there is no uv here; installing it into .venv-uv with pip)
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON3) is older than Python 3.11: run make with PYTHON3=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON3) -m venv .venv-uv \
		|| { echo "$(PYTHON3) cannot make virtual environments: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

demo: setup ## Run the marketplace: services, 2,000 checkouts, killed leaders, and the proof that nothing was lost
	$(call say,demo: the marketplace on this machine)
	@$(BIN)/python -m sample_services.demo

test: setup ## Run all tests that need no server (under 3 minutes)
	$(call say,test: all that needs no server)
	@$(PYTEST) -n 2 --dist loadgroup --ignore=tests/integration --ignore=tests/stack \
		$(addprefix --ignore=,$(LONG)) $(ARGS)

test-long: setup ## Run what is too long for make test: the crash matrix, electors and rebuilt databases in real processes (about 4 minutes)
	$(call say,test-long: crash matrix, electors, rebuilt databases)
	@$(PYTEST) $(LONG) -s $(ARGS)

crash-matrix: setup ## Kill or pause every role at every point of the crash matrix, under load (about 3 minutes)
	$(call say,crash-matrix: every role dies or pauses at every point under load)
	@$(PYTEST) tests/e2e/test_crash_matrix.py -s $(ARGS)

stack: setup ## Bring Kafka, MySQL, MongoDB and Neo4j here and start them on loopback (see tests/stack/README.md)
	$(call say,stack: the real engines)
	@$(BIN)/python -m tests.stack up

stack-down: setup ## End the real engines and delete what they wrote
	@$(BIN)/python -m tests.stack down

test-stack: setup ## Run the tests that need real engines; starts those that they need and leaves them up
	$(call say,test-stack: what needs real engines)
	@$(BIN)/python -m tests.stack up kafka kafka3
	@$(PYTEST) tests/integration -W 'ignore:unclosed <socket:ResourceWarning' $(ARGS)

check: setup format-check lint types import-rules proto-check test ## All that CI demands: format, lint, types, imports, generated code, tests

format: setup ## Format the code and sort its imports
	$(call say,format: ruff)
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format .

format-check: setup
	$(call say,format-check: ruff format)
	@$(BIN)/ruff format --check .

lint: setup ## Lint with ruff
	$(call say,lint: ruff check)
	@$(BIN)/ruff check .

types: setup ## Check the types with mypy, strictly
	$(call say,types: mypy --strict)
	@$(BIN)/mypy $(TYPED)

import-rules: setup ## Check who imports whom (the rest of the rules: tests/unit/test_import_rules.py)
	$(call say,import-rules: import-linter)
	@$(BIN)/lint-imports

proto: setup ## Generate grit/pb/v1 from proto/
	$(call say,proto: generating $(GENERATED))
	@PYTHON=$(BIN)/python proto/generate.sh .

proto-check: setup ## Check that grit/pb/v1 is what proto/ generates, and the style of proto/
	$(call say,proto-check: buf lint, and generated code against $(GENERATED))
	@cd proto && ../$(BIN)/buf lint
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
		PYTHON=$(BIN)/python proto/generate.sh "$$fresh"; \
		diff -rq --exclude=__init__.py --exclude=__pycache__ "$$fresh/$(GENERATED)" $(GENERATED) \
			|| { echo "$(GENERATED) is not what proto/ generates: run make proto and commit" >&2; exit 1; }

bench: setup ## Measure, in under 5 minutes; results go to bench/results
	$(call say,bench: reduced run)
	@$(BIN)/python -m bench --quick $(ARGS)

sim: setup ## Run the simulator: SEEDS=n seeds (from FIRST=f on), or FOR=s seconds; SEED=k shows one, step by step
	$(call say,sim: whole clusters in virtual time $(SIM_FLAGS))
	@$(BIN)/python -m tests.sim $(SIM_FLAGS) $(ARGS)

scenarios: setup ## Run tests/scenarios/*.txt and write anew what comes of them, to be reviewed as a diff
	$(call say,scenarios: what comes of tests/scenarios/*.txt)
	@$(PYTEST) -q tests/scenarios/test_files.py --rewrite-scenarios

sim-mutations: setup ## Take each rule of the protocol out in turn: the simulator must notice (writes docs/protocol/mutations.md)
	$(call say,sim-mutations: each rule taken out in turn)
	@$(BIN)/python -m tests.sim.mutations

clean: ## Remove the environments and every cache
	$(call say,clean: environments and caches)
	@rm -rf .venv .venv-uv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
