# make demo   set up and run the whole path on the bundled real slide, through Dagster
# make test   set up and run the tests, side by side; the slowest twenty are named at the end
# make quick  less than a minute of them, from every part of the code: before a commit
# make soak   what depends on chance (kills, full disks, writers, mutated files, crashes) for MINUTES (60); make e2e: seconds
# make e2e    a day in a lab, minutes: a real atlaspatch up, driven through its web UI, started, killed; screenshots in build/e2e
# make e2e-slurm  that of it alone which runs the script of atlaspatch slurm on a real Slurm, a minute
# make ui     the Dagster web UI on http://127.0.0.1:3000 with the demo's history
# make options  all that follows from declarations: tables of docs/, what networks take
# make docs   the documentation site in site/; make docs-serve shows it on http://127.0.0.1:8000; make pictures draws its pictures anew
# make check  lint, types, import contracts and the documentation site
# make supply  licenses and known vulnerabilities of what is installed and locked; make wheel builds dist/ with its SBOM
# make parity  install AtlasPatch in an environment of its own, run it beside ours, and write docs/parity.md (some GB);
#              make parity TRIDENT=/path/to/checkout CLAM=/path/to/checkout the same of those, TOOL_PYTHON=python3.11 by it
# make bench  all measures, a quarter of an hour; make bench-quick, a minute
# make bench-gpu  how near the pipeline comes to what the GPU can do; small, on the CPU, where there is none; BENCH="--only reading ..."

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/demo/dagster

# A process of tests per core and two more, so that libraries start no further threads. Test modules are compiled once,
# also in an image that forbids it by PYTHONDONTWRITEBYTECODE: that took a third of make quick.
PYTEST := DAGSTER_HOME= OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
PARALLEL := -n auto --maxprocesses 9 --dist worksteal
MINUTES ?= 60

.PHONY: options docs docs-serve pictures setup demo test quick soak e2e e2e-slurm parity ui check supply wheel format bench bench-quick bench-gpu clean

setup: $(VENV)/.ready

# What uv.lock names is installed, by pip: it takes torch for the CPU where an index or a folder has it.
$(VENV)/.ready: pyproject.toml uv.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "atlaspatch needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv export --quiet --locked --extra dev --no-hashes --no-emit-project --output-file $(VENV)/locked.txt
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/locked.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/atlaspatch materialize --project atlaspatch.toml

test: setup
	$(PYTEST) $(PARALLEL) --durations=20

quick: setup
	$(PYTEST) $(PARALLEL) -m "quick and not e2e"

soak: setup
	ATLASPATCH_SOAK_MINUTES=$(MINUTES) $(PYTEST) $(PARALLEL) -m soak --durations=20 $(SOAK)

e2e: setup
	$(PYTEST) -m e2e tests -x $(E2E)

e2e-slurm: setup
	$(PYTEST) -m e2e tests/e2e/test_slurm.py -x $(E2E)

parity: setup
	PYTHONPATH=.:tests/helpers $(BIN)/python -m parity $(if $(TRIDENT),--trident "$(TRIDENT)") \
	  $(if $(CLAM),--clam "$(CLAM)") $(if $(TOOL_PYTHON),--python "$(TOOL_PYTHON)")

ui: setup
	$(BIN)/atlaspatch up --project atlaspatch.toml

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

supply: setup
	$(BIN)/uv lock --check --quiet
	$(BIN)/python -m supply.licenses
	$(BIN)/python -m supply.vulnerabilities

wheel: setup
	$(BIN)/python -m supply.wheel dist

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m benchmarks

bench-quick: setup
	$(BIN)/python -m benchmarks --quick

bench-gpu: setup
	$(BIN)/python -m benchmarks.gpu $(BENCH)

clean:
	rm -rf $(VENV) demo bench build dist site *.egg-info

options: setup
	$(BIN)/python -m website.options
	$(BIN)/python -m website.network_costs
	$(BIN)/python -m website.hardware
	$(BIN)/python -m website.encoders
	$(BIN)/python -m website.encoder_facts

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

pictures: setup
	$(BIN)/python -m website.pictures docs/images
