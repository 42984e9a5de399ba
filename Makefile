# ecrkit's tasks. Each makes what it needs first: a virtual environment, then the packages, and neither a second time.
#   make demo     the tour on the embedded ECR; installs the four run-time packages only
#   make test     the whole suite
#   make check    format, lint, types, layers, documentation, packages
# PYTHON=/path/to/python chooses the interpreter, VENV=folder the environment.

VENV ?= .venv
PYTHON ?=
PYTEST_WORKERS ?= 2

BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
MADE := $(VENV)/.stamp-made
RUNTIME := $(VENV)/.stamp-runtime
DEV := $(VENV)/.stamp-dev
STEP = @printf '\n== %s\n'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench docs format test-all test-others golden requirements clean lint types layers site dist

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile
	@echo "  make bench    the benchmarks, as ratios        make docs     the documentation, into site/"
	@echo "  make format   rewrite the layout of the code   make test-all the suite on every Python found"
	@echo "  make golden   rewrite generated pages and the golden files, to be reviewed with git diff"

# --- environments ---------------------------------------------------------------------------------------------------

$(MADE):
	@set -e; python="$(PYTHON)"; \
	if [ -z "$$python" ]; then python=$$(sh scripts/pythons --first); fi; \
	if [ -z "$$python" ] || ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "ecrkit needs Python 3.11 or newer; found: $$($${python:-python3} --version 2>&1 || echo no python3)." >&2; \
		echo "Name one: make <target> PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments; on Debian and Ubuntu install python3-venv." >&2; exit 1; \
	fi; \
	echo "$(VENV): $$("$$python" --version)"; \
	"$$python" -m venv "$(VENV)"
	@touch $@

# The tested versions serve as constraints, so the demo runs with what the suite ran with.
$(RUNTIME): pyproject.toml requirements/dev.txt | $(MADE)
	@echo "$(VENV): installing ecrkit and what it needs to run"
	@$(PIP) install --constraint requirements/dev.txt --editable .
	@touch $@

$(DEV): pyproject.toml requirements/dev.txt | $(MADE)
	@echo "$(VENV): installing ecrkit and the tools of its suite (a minute or two)"
	@$(PIP) install --requirement requirements/dev.txt
# OPA itself. It declares a newer Python than it needs, so it cannot stand in the requirements.
	@$(PIP) install --no-deps --ignore-requires-python opa-golib-python-bindings==0.4.4
	@$(PIP) install --no-deps --editable .
	@touch $(RUNTIME) $@

# --- for users ------------------------------------------------------------------------------------------------------

demo: $(RUNTIME)
	@$(PY) -m ecrkit.demo

# --- for developers -------------------------------------------------------------------------------------------------

test: $(DEV)
	$(STEP) "tests, $(PYTEST_WORKERS) workers ($$($(PY) --version))"
	@$(PY) -m pytest -q -n $(PYTEST_WORKERS) -m "not heavy"
	$(STEP) "heavy tests, one after the other"
	@$(PY) -m pytest -q -m heavy || [ $$? -eq 5 ]

check: lint types layers site dist
	$(STEP) "everything in order"

lint: $(DEV)
	$(STEP) "format and lint"
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .

types: $(DEV)
	$(STEP) "types"
	@$(PY) -m mypy
	@$(BIN)/basedpyright --pythonpath $(PY) ecrkit

layers: $(DEV)
	$(STEP) "layers"
	@$(BIN)/lint-imports

site: $(DEV)
	$(STEP) "documentation"
	@$(PY) docs/gen_pages.py --check
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict

dist: $(DEV)
	$(STEP) "wheel and sdist"
	@rm -rf dist
	@$(PY) -m build --no-isolation --outdir dist . > $(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@$(PY) scripts/check_dist.py dist

docs: $(DEV)
	@$(PY) docs/gen_pages.py
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "site/index.html"

bench: $(DEV)
	@$(PY) -m benchmarks $(ONLY)

format: $(DEV)
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

golden: $(DEV)
	@$(PY) docs/gen_pages.py
	@$(PY) -m pytest -q tests --update-golden

# The suite on 3.11, 3.12 and 3.13, as far as found on PATH or in pyenv's folders; one that is missing is said.
test-all:
	@sh scripts/test_pythons all

test-others: $(MADE)
	@sh scripts/test_pythons others $(PY)

# Needs uv. The file names no package index, so it serves wherever pip is set up to find packages.
requirements: pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --group test --group lint --group docs \
		--group mutation --no-header --no-annotate --no-emit-index-url pyproject.toml --output-file requirements/dev.txt

clean:
	rm -rf .venv .venv-3.* dist site build .mypy_cache .ruff_cache .pytest_cache .hypothesis
