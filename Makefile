# A fresh machine needs Python 3.11+ and make; these targets set up everything else in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL ?=
ARGS ?=
TIER ?= 90s

.PHONY: install serve test check soak image-check clean

install: $(VENV)/.serve

serve: $(VENV)/.serve
	$(BIN)/carousel serve $(if $(MODEL),'$(MODEL)') $(ARGS)

# A test runs on one core, so test files run side by side.
test: check
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit -q --severity-level medium -r engine server clients
	$(BIN)/python .ci/audit.py

# Builds the container image without a Docker engine and runs it; ARGS go to `buildah build`. See docs/docker.md.
image-check:
	tests/deploy/image/build.sh $(ARGS)
	$(PYTHON) -m tests.deploy.image.check carousel:cpu

soak: $(VENV)/.test
	$(BIN)/python -m tests.soak $(TIER) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

# venv installs pip last: without pip, $(VENV) is incomplete.
$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Carousel needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || { echo 'On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing what is needed into $(VENV): once, a minute or more'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing what is needed into $(VENV): once, a minute or more'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.serve
