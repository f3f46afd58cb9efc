# Everything goes through .venv, made from the hashed requirements.lock. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# of the tests: three workers took longer than two on two cores
WORKERS := -n 2 --dist worksteal
READY := $(VENV)/.ready
# byte code is kept: where it is not, every start compiles the library and the tests again
unexport PYTHONDONTWRITEBYTECODE
export DAGSTER_DISABLE_TELEMETRY := 1
export POLARS_ENGINE_AFFINITY := in-memory

.DEFAULT_GOAL := help
.PHONY: help setup run demo test cover fast explore lint types docs golden ui up down bench lock audit clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 12

setup: $(READY) ## install everything into .venv (quick when nothing changed)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Harmony needs Python 3.11, 3.12 or 3.13; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (a minute or two, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -c "import pathlib, site; pathlib.Path(site.getsitepackages()[0], 'harmony.pth').write_text(str(pathlib.Path.cwd()) + '\n')"
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m harmony_pipeline.cli "$$@"\n' > $(BIN)/harmony && chmod +x $(BIN)/harmony
	@echo "Compiling the kernels (a few minutes, once) ..."
	@$(BIN)/python -m harmony_pipeline.cli.compile_kernels
	@touch $@

run: setup ## run the whole chain on the embedded market and say what came out
	@$(BIN)/harmony run

demo: setup ## paper-trade a day offline, against the simulated exchange
	@$(BIN)/harmony demo

test: setup ## run every test
	@$(BIN)/python -m pytest $(WORKERS)

cover: setup ## the same, and the share of lines that tests run, file by file; fails under 90 %
	@$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term:skip-covered

fast: setup ## the quick tests only
	@$(BIN)/python -m pytest $(WORKERS) -m "not slow"

explore: setup ## let hypothesis look for new examples, many and different at each run
	@HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest $(WORKERS) -m hypothesis

lint: setup ## ruff, format, import directions
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: setup ## mypy, strict
	@$(BIN)/mypy

docs: setup ## build the documentation site into site/, without a network; a dead link fails it
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build --strict --quiet && echo "wrote site/index.html: open it in a browser"

golden: setup ## rewrite what is made from other text: golden graph, SQL views, example notebooks
	@$(BIN)/python -m tests.golden_graph
	@$(BIN)/python -m harmony_pipeline.lake.views
	@$(BIN)/python -m tests.example_notebook

ui: setup ## serve the Dagster UI on http://127.0.0.1:3333
	@$(BIN)/harmony ui

up: ## start every service of compose.yaml, with the profile and secrets of .env (needs Docker)
	@test -f .env || { echo "There is no .env: copy .env.example to .env and fill it in (docs/deployment.md)"; exit 1; }
	@docker compose up --build --detach --wait && docker compose ps

down: ## stop them in order; volumes stay
	@docker compose down

bench: setup ## time kernels, models and calendars, and the lake on a million bars
	@for file in $(filter-out benchmarks/gate.py benchmarks/quote_session.py benchmarks/session_soak.py benchmarks/executors.py benchmarks/symbol_years.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file; done
	@echo "== benchmarks/lake"; $(BIN)/python -m benchmarks.lake --rows 1m --rounds 1

LOCKED := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --no-strip-extras
lock: ## recompile requirements.lock, and the part of it that the image installs (needs uv)
	@uv pip compile pyproject.toml requirements.in $(LOCKED) -o requirements.lock
	@uv pip compile pyproject.toml --extra scale --extra postgres --extra redis --extra s3 --extra telemetry -c requirements.lock $(LOCKED) -o deploy/requirements.lock

audit: setup ## known holes in the locked packages, doubtful lines in the code, a list of what is inside (needs uv)
	@uvx --quiet pip-audit --require-hashes --disable-pip -r requirements.lock
	@uvx --quiet bandit --quiet --recursive --severity-level medium --configfile pyproject.toml harmony_pipeline assets resources
	@uvx --quiet --from cyclonedx-bom cyclonedx-py requirements requirements.lock --output-file sbom.json && echo "wrote sbom.json"

clean: ## remove what runs made: the default lake and state, not .venv
	@find data_lake -mindepth 1 ! -name README.md -delete; rm -rf .harmony site
