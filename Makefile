# make setup   the environment in .venv, and the Debian packages where that is allowed
# make demo    the whole road on the shipped supernet, ending in a table
# make test    every check and every test (under 30 minutes on two cores)
# make check   linters and the fast tests (under 2 minutes)
# make soak    everything, for as long as it takes
# make clean   what the commands above left behind (the environment stays; `rm -r .venv` removes it)
#
# Variables:
#   PYTHON             interpreter for the environment (3.11 or newer)
#   VENV               where the environment lies
#   TORCH_SPEC         which torch is installed, first and alone
#   TORCH_INDEX_ARGS   pip options for torch alone. pip takes the CPU build of TORCH_SPEC where an index or a folder that
#                      you configured offers one (it ranks x.y.z+cpu above x.y.z). Where none does and you want it, or
#                      want a build for a certain CUDA version:
#                          make setup TORCH_INDEX_ARGS='--index-url <the PyTorch project's index for that build>'
#   PIP_ARGS           further pip options for every install
#   PYTEST_ARGS        further pytest options, as in: make test PYTEST_ARGS='-k planner'
# Your pip configuration (index, proxy, certificates) is used as it is.

VENV ?= .venv
TORCH_SPEC ?= torch==2.13.0
TORCH_INDEX_ARGS ?=
PIP_ARGS ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.ofa-mcu-setup

.DEFAULT_GOAL := help
.PHONY: help setup system demo test check lint soak clean tflm-host

help:
	@sed -n 's/^# \?//p' Makefile

setup: system $(STAMP)

system:
	@tools/system-packages.sh

$(STAMP): pyproject.toml constraints.txt tools/venv.sh | system
	@tools/venv.sh $(VENV)
	$(PIP) install $(PIP_ARGS) $(TORCH_INDEX_ARGS) '$(TORCH_SPEC)'
	$(PIP) install $(PIP_ARGS) -c constraints.txt -e '.[cluster,dev]'
	@touch $@

demo: setup
	@$(BIN)/ofa-mcu demo

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# For tests; OFA_MCU_TFLM_HOST names the folder where it lies elsewhere.
tflm-host: setup
	@tools/tflm-host.sh $(BIN)/python .cache/tflm-host

test: lint tflm-host
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint
	$(BIN)/python -m pytest -m 'not slow and not soak' $(PYTEST_ARGS)

soak: lint tflm-host
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m '' --timeout 0 $(PYTEST_ARGS)

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
