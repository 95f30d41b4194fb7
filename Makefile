# Everything on a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo lab test simulate bench bench-ui soak fuzz mutants release-check docs lint lock wheel clean

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

# `python -m tests.simulation SEED` tells the story of one seed, step by step; `--shrink SEED` makes a failing one short.
# WRITE=docs/reliability.md writes the sums into the docs; KEEP=FILE keeps them, so that a long run can be taken up again.
SEEDS ?= 2000
FROM ?= 0
JOBS ?= 2
simulate: $(VENV)/ready
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS) $(if $(WRITE),--write $(WRITE)) $(if $(KEEP),--keep $(KEEP))

# A real NanoMDM, 2,000 devices in a rollout, 2,000 calls a second beside theirs: is everything flat?
MINUTES ?= 30
soak: $(VENV)/ready
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

# By hand: a million bodies at the receiver, then ten minutes of bytes at the parsers (by atheris, if it is installed).
BODIES ?= 1000000
SECONDS ?= 600
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.attacks receiver --bodies $(BODIES)
	$(BIN)/python -m tests.attacks parsers --seconds $(SECONDS)

# Small bugs at places of protocol/ and rollout/ that a seed chooses: which ones does no test notice?
SAMPLE ?= 200
SEED ?= 1
mutants: $(VENV)/ready .venv-mutants/ready
	.venv-mutants/bin/python tests/mutants.py --sample $(SAMPLE) --seed $(SEED) --jobs $(JOBS) --python $(abspath $(BIN))/python

.venv-mutants/ready:
	$(PYTHON) -m venv .venv-mutants
	.venv-mutants/bin/python -m pip install --quiet 'cosmic-ray>=8.7,<9'
	touch $@

# What a release contains (build/sbom.json, CycloneDX), and that nobody knows a hole in it. The tools stand apart.
release-check: .venv-release/ready
	mkdir -p build
	.venv-release/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-file build/sbom.json
	.venv-release/bin/pip-audit --requirement requirements.lock --disable-pip --strict --progress-spinner off

.venv-release/ready:
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet 'pip-audit>=2.10,<3' 'cyclonedx-bom>=7.5,<8'
	touch $@

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
	rm -rf $(VENV) .venv-release .venv-mutants build
