# `make demo` and `make test` are all a newcomer needs: each sets itself up from a fresh clone.
#   make demo ARGS="--for 90 --json out.json"     make test ARGS="-k sensor"     make PYTHON=python3.12 demo

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

.PHONY: help demo test check chaos lint format bench lock runtime-lock image-check audit sbom clean

help:
	@echo "make demo    run the whole platform here (ARGS=\"--help\" lists its options)"
	@echo "make test    run the tests"
	@echo "make check   format, lint, types, audit, tests: what CI runs"
	@echo "make lint    format, lint, types only        make format  rewrite what can be"
	@echo "make bench   run the benchmarks              make lock    pin the newest versions anew"
	@echo "make audit   ask the advisory service about every pinned version        make sbom  list what the image holds"
	@echo "make image-check  build the image's environment by the Dockerfile's steps, without Docker, and start it"
	@echo "make chaos   kill the running platform 300 times at every stage; hours (ARGS=\"--faults\" for faults)"
	@echo "make clean   remove .venv and caches; .demo/ stays"

demo: $(INSTALLED)
	@exec $(BIN)/continuous-gtfs demo $(ARGS)

test: $(INSTALLED)
	@$(BIN)/pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder $(ARGS)

check: lint audit test

lint: $(INSTALLED)
	@$(BIN)/ruff format --check --quiet . || { echo "error: not formatted: run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(INSTALLED)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/run.py $(ARGS)

chaos: $(INSTALLED)
	@$(BIN)/python benchmarks/chaos.py $(ARGS)

# Resolves pyproject.toml in an empty environment, so that nothing that happens to be installed gets in.
lock:
	@$(PYTHON) tools/make_lock.py

# The part of requirements.lock that the image installs. A part of `make lock`; alone after an edit of the lock.
runtime-lock: $(INSTALLED)
	@$(BIN)/python tools/runtime_lock.py

audit: $(INSTALLED)
	@$(BIN)/python tools/audit.py

sbom: $(INSTALLED)
	@$(BIN)/python tools/make_sbom.py

image-check:
	@$(PYTHON) tools/image_check.py $(ARGS)

$(INSTALLED): requirements.lock pyproject.toml tools/make_venv.py
	@command -v $(PYTHON) > /dev/null || \
	  { echo "error: no $(PYTHON): install Python 3.11 or newer, or say make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) tools/make_venv.py $(VENV)
	@touch $@

clean:
	@rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find continuous_gtfs continuous_gtfs_tests -name __pycache__ -prune -exec rm -rf {} +
