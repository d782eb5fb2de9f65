# Lapwing's two commands are `make run` and `make test`; everything else is here for who works on it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## make .venv/ with the `lapwing` command in it

# The stamp is newer than the lock and the project file only after both were installed, so a second start is offline.
# Old pips warn of how GPUtil is packaged, which helps nobody who types `make run`; what pip itself has to say stays.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Lapwing needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. On Debian/Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@echo "Installing Lapwing's Python packages into $(VENV) (about 350 MB to download, once) ..."
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: run
run: $(STAMP) ## set up what is missing, then run the whole product in the foreground
	@exec $(BIN)/lapwing up

.PHONY: run-kafka
run-kafka: $(STAMP) ## the same product as separate processes, on an Apache Kafka of its own
	@exec $(BIN)/lapwing up --processes

.PHONY: test
test: $(STAMP) ## set up what is missing, then run every test (WORKERS=2 at once)
	@$(BIN)/python -m shared.broker || echo "The tests on a real Kafka will be skipped (with CI=true: fail)."
	@$(BIN)/python -m tests $(WORKERS)

.PHONY: test-k8s
test-k8s: $(STAMP) ## apply deploy/k8s/base to a real kube-apiserver (needs Go; builds it once, some ten minutes)
	@$(BIN)/python -m tests.support.kube_programs >/dev/null || echo "The tests on a real kube-apiserver will be skipped (with CI=true: fail)."
	@$(BIN)/python -m pytest tests/kubernetes

.PHONY: chaos
chaos: $(STAMP) ## kill the product's processes for MINUTES=5 as SEED=… decides; nothing may be lost or doubled
	@$(BIN)/python -m shared.broker && exec $(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: test-compose
test-compose: $(STAMP) ## docker-compose.yml for real, in a Docker engine of its own (needs root and some Debian packages)
	@$(BIN)/python -m pytest tests/containers

.PHONY: lint
lint: $(STAMP) ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(STAMP) ## put the source into house style
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.PHONY: bench
bench: $(STAMP) ## measure the hot paths (benchmarks/), ratios within one run
	@$(BIN)/python -m benchmarks

.PHONY: schemas
schemas: $(STAMP) ## regenerate docs/schemas/, docs/metrics.md and docs/settings.md
	@$(BIN)/python -m shared.schemas.export docs/schemas
	@$(BIN)/python -m shared.runtime.settings_doc docs/settings.md

.PHONY: lock
lock: ## resolve requirements*.lock again (needs uv: pip install uv)
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra agent pyproject.toml -o requirements-agent.lock
	@uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra all -c requirements.lock pyproject.toml -o requirements-server.lock

.PHONY: image
image: ## build the images lapwing:server and lapwing:agent (needs docker; BASE=… for another base image)
	docker build -f deploy/docker/Dockerfile --build-arg EXTRA=server $(if $(BASE),--build-arg BASE=$(BASE)) -t lapwing:server .
	docker build -f deploy/docker/Dockerfile --build-arg EXTRA=agent $(if $(BASE),--build-arg BASE=$(BASE)) -t lapwing:agent .

.PHONY: clean
clean: ## remove what was built; your data/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

DETECTION ?= ../shared/detection

.PHONY: bench-detection
bench-detection: $(STAMP) ## judge the detector's core on labelled public data (in DETECTION=…; ARGS= for the evaluator)
	@test -f $(DETECTION)/evaluate.py || { echo "The evaluation rig is not in $(DETECTION). Say where: make bench-detection DETECTION=<folder>"; exit 1; }
	@PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python $(DETECTION)/evaluate.py benchmarks.detection.adapter:make $(ARGS)
