# Every target stands alone on a fresh clone with Python 3.11 or 3.12 and nothing else.
# What is built lands in .venv*, workspace/ and papermill_runs/, never outside this folder.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Else every kernel, service and worker that a test starts would compile its imports anew.
unexport PYTHONDONTWRITEBYTECODE

# Name another interpreter with PYTHON=/path/to/python3.12.
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
  "$$name" -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' \
  2>/dev/null && command -v "$$name" && break; done)
BIN := .venv/bin
SOAK_S ?= 1800
# More processes of tests than cores: some compute while others wait for a broker, a kernel or a service.
WORKERS ?= 3
# What is slow waits more than it computes.
SLOW_WORKERS ?= 3
PYTEST := OMP_NUM_THREADS=1 tests/in_memory.sh $(BIN)/pytest --dist worksteal
# The files that hold a marker: to import all others takes each process twenty seconds.
marked = $$(grep -rlE --include='test_*.py' 'mark\.($(1))\b' tests)
NOTEBOOK_KEYS := 'metadata.papermill cell.metadata.papermill metadata.widgets'

.PHONY: help demo test test-slow test-busy check check-all lab soak env env-obp env-peers env-flink lock clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: env ## fetch MovieLens-100K, run the main job, print its table and the report's path
	@exec 3>&1; \
	folder="$$($(BIN)/recbench run 00_pipeline | tee >(cat >&3) | tail -n 1)"; \
	$(BIN)/recbench runs show "$$folder"; \
	echo "Report: $$folder/report.html"

test: env ## the test suite, without what is slow
	$(PYTEST) -n $(WORKERS)

check: env ## every linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	@find notebooks -name '*.ipynb' -not -path '*/.*' -not -path 'notebooks/jobs/*' -print0 2>/dev/null \
	| xargs -0 -r $(BIN)/nbstripout --verify --extra-keys $(NOTEBOOK_KEYS)

check-all: env ## the linters and what `make test` leaves out; artifacts/ keeps how pages looked
	@$(MAKE) --jobs=3 --output-sync=target env-obp env-peers env-flink
	@$(MAKE) --jobs=2 check test-slow
	tests/in_memory.sh $(BIN)/pytest -m alone $(call marked,alone)

test-slow: env ## what `make test` leaves out, but for what must run alone
	RECBENCH_ARTIFACTS="$(CURDIR)/artifacts" $(PYTEST) -n $(SLOW_WORKERS) \
	  -m "(slow or browser) and not alone" $(call marked,slow|browser)

test-busy: env ## the test suite beside two busy loops: what counts on time or luck shows there
	@loops=(); trap 'kill "$${loops[@]}"' EXIT; \
	for _ in 1 2; do $(BIN)/python -c 'while True: pass' & loops+=($$!); done; \
	$(MAKE) test

soak: env ## the service at half its maximum rate for SOAK_S seconds (1800): no error, memory flat
	$(BIN)/recbench bench soak --seconds $(SOAK_S)

lab: env ## JupyterLab on the notebooks
	$(BIN)/recbench lab

env: .python ## .venv, from environments/cpu.lock; once
	@$(PYTHON) environments/install.py cpu

env-obp: .python ## .venv-obp: the Open Bandit Pipeline, for parity tests
	@$(PYTHON) environments/install.py obp

env-peers: .python ## .venv-peers: RecBole and RecTools, for parity tests
	@$(PYTHON) environments/install.py peers

env-flink: .python ## .venv-flink: PyFlink, for features from streaming SQL; a job needs Java 17
	@$(PYTHON) environments/install.py flink

lock: .python ## resolve environments/packages.toml anew
	$(PYTHON) environments/generate.py

clean: ## remove the environments and caches; data and results stay
	rm -rf .venv .venv-obp .venv-peers .venv-flink .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

.PHONY: .python
.python:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or 3.12 found. Install one (Debian:" \
	  "apt-get install python3.11-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
