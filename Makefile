# Everything on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo lab test simulate bench bench-ui docs lint lock wheel clean

demo: $(VENV)/ready
	$(BIN)/osupdate-kit demo

lab: $(VENV)/ready
	$(BIN)/osupdate-kit lab

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

bench-ui: $(VENV)/ready
	$(BIN)/python -m benchmarks.ui

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# For people: `uv tool install dist/osupdate_kit-*.whl`, or pipx.
wheel: $(VENV)/ready
	$(BIN)/python -m hatchling build -t wheel

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# `python -m tests.simulation SEED` tells the story of one seed, step by step.
SEEDS ?= 2000
FROM ?= 0
JOBS ?= 2
simulate: $(VENV)/ready
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)

# The lock holds hashes and no addresses. The build tools are in it, too, so nothing is fetched beside it.
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra test --quiet --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV)
