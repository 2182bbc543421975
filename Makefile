# `make demo` shows the whole road, `make test` runs every check; both set up .venv/ first and need nothing but
# git, make, Python 3.11 or newer and a package index.

PYTHON ?= python3
TORCH ?=
BIN := .venv/bin
INSTALL = $(PYTHON) tools/install.py $(if $(TORCH),--torch="$(TORCH)")

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install dev demo test docs lint types layers security unit format clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s%s\n", $$1, $$2}' Makefile
	@echo
	@echo '  PYTHON=python3.12      the Python that .venv/ is made with'
	@echo '  TORCH="torch==X.Y.Z"   a torch of your own choice, handed to pip as it is'

install: ## put MISO into .venv/ (nothing to do: nothing done)
	@$(INSTALL)

dev: ## the same, with what the checks need
	@$(INSTALL) --dev

demo: install ## the whole road on a synthetic cohort, offline
	@$(BIN)/miso demo

test: dev ## lint, types, layers, security and unit, all of them even when one fails
	@failed=; \
	for check in lint types layers security; do \
	  $(MAKE) --no-print-directory INSTALL=: $$check || failed="$$failed $$check"; \
	done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed; the tests run all the same" >&2; fi; \
	$(BIN)/pytest -n auto --dist loadfile && [ -z "$$failed" ]

lint: dev ## ruff, rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: dev ## mypy, strict
	$(BIN)/mypy
	$(BIN)/mypy --strict tools

layers: dev ## imports point down
	$(BIN)/lint-imports

security: dev ## bandit: calls that could harm
	$(BIN)/bandit -q -c pyproject.toml -r src/miso

unit: dev ## pytest, on all cores
	$(BIN)/pytest -n auto --dist loadfile

docs: dev ## the documentation, into site/; look at it with: python -m http.server --directory site
	@$(BIN)/pip install --quiet --disable-pip-version-check -c .venv/constraints.txt --group docs
	$(BIN)/python tools/commands_page.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: dev ## let ruff put the format right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove .venv/, caches and what the demo wrote
	rm -rf .venv miso-demo site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
