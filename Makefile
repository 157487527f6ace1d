# Isocenter. `make serve` and `make test` work on a bare machine: what is missing is set up first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
WORKERS ?= 3

# whatever the caller's environment says: the tests start hundreds of processes, and pytest rewrites each test file once
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install serve test collected viewers peers lint check-types unit bench fuzz soak docs trace lock clean

help:                    ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{sub(/ .*/, "", $$1); printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml tools/install
	PYTHON="$(PYTHON)" tools/install $(VENV)
	@touch $(STAMP)

install: $(STAMP)        ## Create .venv with everything, so that .venv/bin/isocenter runs

serve: install           ## Run the server (ARGS='--data DIR --dicom-port N ...')
	@$(BIN)/isocenter serve $(ARGS)

peers:                   ## Install the real peers that the tests use, where that is possible
	@tools/setup-test-peers
	@tools/setup-browser-tests

test: install peers      ## Everything: style, types, imports, tests against real peers
	$(MAKE) --no-print-directory -j2 --output-sync lint collected
	$(BIN)/python tools/requirements_trace.py --check
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not fuzz and not soak and not viewer' $(ARGS)

collected: install       ## That every test file can be read; its compiled form is kept for the processes that run them
	@said=$$($(BIN)/python -m pytest --collect-only -qq) || { echo "$$said"; exit 1; }

viewers: install peers    ## The OHIF viewer opens studies of every kind in Chromium
	$(BIN)/python -m pytest tests/browser -m viewer $(ARGS)

unit: install            ## The quick tests alone
	$(BIN)/python -m pytest tests/unit -q $(ARGS)

lint: install            ## ruff, mypy strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/settings_page.py --check

bench: install peers     ## The figures, each beside its peer in the same run (bench/README.md)
	@for figure in $(or $(FIGURES),bench/figure_*.py); do $(BIN)/python $$figure $(ARGS) || exit 1; done

fuzz: install            ## Longer runs of the fuzz targets (SECONDS_EACH=60)
	FUZZ_SECONDS=$(or $(SECONDS_EACH),60) $(BIN)/python -m pytest -v -s -m fuzz \
	    $$(grep -rl --include='test_*.py' 'mark[.]fuzz' tests) $(ARGS)

soak: install            ## Ten thousand associations and more: memory flat, service up
	$(BIN)/python -m pytest tests -q -m soak --timeout 7200 $(ARGS)

docs: install            ## What is generated of the documentation
	$(BIN)/python tools/settings_page.py
	$(MAKE) --no-print-directory trace

trace: install           ## The matrix of requirement ids, tests and results (docs/requirements/trace.md)
	$(BIN)/python tools/requirements_trace.py $(ARGS)

lock: install            ## Pin the newest versions that pyproject.toml allows
	PYTHON="$(PYTHON)" tools/lock

clean:                   ## Remove what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
