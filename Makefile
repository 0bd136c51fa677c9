# Every target makes the environment it needs. Another interpreter than python3:
#   make PYTHON=python3.13 test

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all lint format notebooks data study bench-env
.PHONY: tpu-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/.stamp ## separate and score the example, then train for a minute
	.venv/bin/python examples/demo.py

# Workers keep to neighbouring tests, which share fixtures, and then help each other.
JOBS := $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))
PYTEST := .venv/bin/python -m pytest -n $(JOBS) --dist worksteal --durations=20

test: .venv/.stamp ## the fast tests; minutes
	$(PYTEST) -m "not slow"

test-slow: .venv/.stamp ## the tests that take longer
	$(PYTEST) -m slow

test-all: .venv/.stamp ## every test
	$(PYTEST)

lint: .venv/.stamp ## check style, formatting and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv/.stamp ## mend what lint can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

notebooks: .venv/.stamp ## run the notebooks and save what they show
	.venv/bin/python notebooks/run.py

data: .venv/.stamp ## instruments, rooms and duets to train on, into data/
	.venv/bin/python examples/public_data.py $(DATA_FLAGS)

study: .venv/.stamp ## every representation with every architecture, compared; many hours
	.venv/bin/python examples/study.py $(STUDY_FLAGS)

bench-env: .venv-bench/.stamp ## the environment of the benchmarks, peers included
	@echo 'Ready: .venv-bench/bin/python benchmarks/transforms.py --help'

tpu-check: .venv-tpu/.stamp ## compile the training step for TPUs not at hand; minutes
	.venv-tpu/bin/python benchmarks/tpu_check.py $(TPU_FLAGS)

clean: ## remove all that these targets made
	rm -rf .venv .venv-bench .venv-tpu build dist demo-out notebooks/scores *.egg-info
	rm -rf .hypothesis .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# An environment is as new as its stamp; a failed installation leaves none.
define venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo 'Sep needs Python 3.11 or newer, not $(PYTHON): make PYTHON=/path/to/it' >&2; \
	exit 1; }
$(PYTHON) -m venv $(@D)
endef

# TinySoundFont asks for a package that plays through loudspeakers; rendering does not.
.venv/.stamp: setup.cfg constraints.txt
	$(venv)
	.venv/bin/pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	.venv/bin/pip install $(PIP_FLAGS) -c constraints.txt --no-deps tinysoundfont
	@touch $@

.venv-bench/.stamp: setup.cfg constraints.txt benchmarks/requirements.txt
	$(venv)
	.venv-bench/bin/pip install $(PIP_FLAGS) -c constraints.txt -e . \
		-r benchmarks/requirements.txt
	.venv-bench/bin/pip install $(PIP_FLAGS) -c constraints.txt --no-deps \
		openunmix museval fast_bss_eval demucs
	@touch $@

.venv-tpu/.stamp: setup.cfg constraints.txt
	$(venv)
	.venv-tpu/bin/pip install $(PIP_FLAGS) -c constraints.txt -e '.[tpu]'
	@touch $@
