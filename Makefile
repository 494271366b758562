# Everything from a bare checkout: each target sets up what it needs first.

PROFILE ?= quick
PYTHON ?= python3
NB ?=
P ?=
T ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AXE := tests/node_modules/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help report notebook pdf test verify mutants lab fetch bench publish clean

help: ## this list
	@echo "make TARGET [PROFILE=smoke|quick|full] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

report: $(READY) ## run the notebooks that need it, build report/index.html and report/results.json
	@$(BIN)/denoise report --profile $(PROFILE)

notebook: $(READY) ## run one notebook again and rebuild the page: NB=03_wavenet P="-p steps 50", P="-f room.yaml"
	@$(if $(NB),,echo 'make: name the notebook, for example: make notebook NB=03_wavenet P="-p steps 50"' >&2; exit 1)
	@$(BIN)/denoise notebook $(NB) $(P) --profile $(PROFILE)

pdf: $(READY) ## print the built page to report/report.pdf (needs Chromium)
	@$(BIN)/denoise pdf

test: $(READY) $(AXE) ## run the tests, the smoke report and the browser tests among them (T=tests/test_cli.py for one)
	@tools/need.sh chromium
	@$(BIN)/python -m pytest $(T)

verify: $(READY) ## two reports from two bare clones: are their numbers equal? (PROFILE=smoke, SHARED=1, NB=02_autoencoder)
	@$(BIN)/python tools/verify.py --profile $(PROFILE) $(if $(SHARED),--shared) $(NB)

mutants: $(READY) ## change the code in small ways: do the tests notice? writes docs/MUTANTS.md
	@$(PIP) install -qq --no-build-isolation -e '.[mutation]'
	@$(BIN)/python tools/mutants.py

# Uploads come as one message each, of which the server takes 10 MB unless told otherwise.
lab: $(READY) ## open the listening room, and beside it the notebooks, in JupyterLab
	@$(BIN)/jupyter lab notebooks/listening_room.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) \
		--ServerApp.tornado_settings="{'websocket_max_message_size': 100000000}"

fetch: $(READY) ## download, verify and decode the default corpora into the user's cache
	@$(BIN)/denoise fetch

bench: $(READY) ## time the parts that decide how long the report takes
	@$(BIN)/python tools/bench.py

publish: $(READY) ## copy the built page and its numbers to docs/
	@$(BIN)/denoise publish

clean: ## remove the built page, its runs and caches; .venv and the corpora stay
	rm -rf report/build report/index.html report/results.json report/report.pdf .pytest_cache .hypothesis
	find denoise_lib tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

# What the browser tests need from npm: axe-core, which finds what is not accessible.
$(AXE): tests/package.json tests/package-lock.json
	@tools/need.sh npm
	@npm ci --prefix tests --silent --no-audit --no-fund
	@touch $@

# The environment: made once, again when the pins change, and anew when the clone was moved, since
# its scripts name their folder. The stamp, which says where it was made, is written last, so that a
# failed installation leaves none and the next call goes on with it.
MOVED := $(shell [ ! -s $(READY) ] || [ "$$(cat $(READY))" = "$(CURDIR)" ] || echo moved)
.PHONY: moved
moved: ;
$(READY): requirements.lock pyproject.toml $(MOVED)
	@tools/need.sh python $(PYTHON)
	@tools/need.sh venv $(PYTHON)
	@tools/need.sh compiler $(PYTHON)
	@rm -f $@ $(if $(MOVED),$(BIN)/python)
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing requirements.lock into $(VENV) (a few minutes, once)"
	@$(PIP) install -qq -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@$(BIN)/python -m denoise_lib.environment
	@echo "$(CURDIR)" > $@
