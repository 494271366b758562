# Everything from a bare checkout: each target sets up what it needs first.

PROFILE ?= quick
JOBS ?= 1
PYTHON ?= python3
NB ?=
P ?=
T ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
AXE := tests/node_modules/.ready

# The user's own settings, which would reach the set-up or the report.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_DEPS PIP_PRE PIP_UPGRADE
unexport PIP_REQUIRE_VIRTUALENV PIP_REQUIRE_HASHES PIP_NO_BINARY PIP_ONLY_BINARY PIP_NO_INDEX
unexport PIP_CONSTRAINT PIP_BUILD_CONSTRAINT

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help report notebook pdf test verify mutants lab fetch bench fuzz publish clean

help: ## this list
	@echo "make TARGET [PROFILE=smoke|quick|full] [JOBS=2] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

report: $(READY) ## run the notebooks that need it, JOBS at once, build report/index.html and report/results.json
	@$(BIN)/denoise report --profile $(PROFILE) --jobs $(JOBS)

notebook: $(READY) ## run one notebook again and rebuild the page: NB=03_wavenet P="-p steps 50", P="-f room.yaml"
	@$(if $(NB),,echo 'make: name the notebook, for example: make notebook NB=03_wavenet P="-p steps 50"' >&2; exit 1)
	@$(BIN)/denoise notebook $(NB) $(P) --profile $(PROFILE)

pdf: $(READY) ## print the built page to report/report.pdf (needs Chromium)
	@$(BIN)/denoise pdf

test: $(READY) $(AXE) ## run the tests, the smoke report and the browser tests among them (T=fast, T=tests/test_cli.py)
	@tools/need.sh chromium
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} LOKY_MAX_CPU_COUNT=$${LOKY_MAX_CPU_COUNT:-1} \
		$(BIN)/python -m pytest \
		$(if $(filter-out fast,$(T)),$(T),-n 2 --dist loadfile --no-loadscope-reorder $(if $(T),-m "not slow"))

verify: $(READY) ## two reports from two bare clones: are their numbers equal? (PROFILE=smoke, SHARED=1, NB=02_autoencoder)
	@$(BIN)/python tools/verify.py --profile $(PROFILE) $(if $(SHARED),--shared) $(NB)

mutants: $(READY) ## change the code in small ways: do the tests notice? writes docs/MUTANTS.md
	@$(BIN)/python -m pip install -qq --no-build-isolation -e '.[mutation]'
	@$(BIN)/python tools/mutants.py

# Uploads come as one message each, of which the server takes 10 MB unless told otherwise.
lab: $(READY) ## open the listening room, and beside it the notebooks, in JupyterLab
	@$(BIN)/jupyter lab notebooks/listening_room.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) \
		--ServerApp.tornado_settings="{'websocket_max_message_size': 100000000}"

fetch: $(READY) ## download, verify and decode the default corpora into the user's cache
	@$(BIN)/denoise fetch

bench: $(READY) ## time networks, damage and inference against others, as ratios, for the page
	@$(BIN)/python -m tools.bench

fuzz: $(READY) ## feed damaged files to what reads files, for minutes; findings go to report/fuzz
	@$(BIN)/python tools/fuzz.py

publish: $(READY) ## copy the built page to docs/, its clips and DCUnets to their places
	@$(BIN)/denoise publish

clean: ## remove the built page, its runs and caches; .venv and the corpora stay
	rm -rf report/fuzz report/build report/index.html report/results.json report/report.pdf .pytest_cache .hypothesis
	find denoise_lib tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

# What the browser tests need from npm: axe-core, which finds what is not accessible.
$(AXE): tests/package.json tests/package-lock.json
	@tools/need.sh npm
	@npm ci --prefix tests --silent --no-audit --no-fund
	@touch $@

# The environment: made once, again when the pins change, and anew when the clone was moved.
MOVED := $(shell [ ! -s $(READY) ] || [ "$$(cat $(READY))" = "$(CURDIR)" ] || echo moved)
.PHONY: moved
moved: ;
$(READY): requirements.lock requirements-cpu.lock requirements-cuda.lock requirements-build.lock pyproject.toml $(MOVED)
	@tools/setup.sh $(PYTHON) $(VENV) "$(CURDIR)"
