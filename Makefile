# The environment is made in .venv, once, and needs nothing but Python, make and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
DEMO := runs/demo
# The study `some-name` is the module studies/some_name.py; ARGS are passed on to it.
STUDIES := $(subst _,-,$(filter-out __init__ common figures gallery,$(basename $(notdir $(wildcard studies/*.py)))))
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo smoke test test-all coverage lint format bench gpu figures gallery docs man dist clean

help: ## print this list
	@awk -F ' ## ' '/^[a-z%-]+:.* ## / { split($$1, target, ":"); sub("%", "NAME", target[1]); printf "make %-12s %s\n", target[1], $$2 }' Makefile
	@printf '\nNAME is one of: $(STUDIES).\nOptions: make study-zoo ARGS="--methods ae,vae"; make study-zoo ARGS=--help lists them.\n'

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@

install: $(VENV)/installed ## install the package in .venv

demo: $(VENV)/installed ## train a low-rank autoencoder on MNIST for three epochs and write its report
	@if [ -e $(DEMO)/config.json ]; then \
		$(BIN)/lorae resume $(DEMO); \
	else \
		$(BIN)/lorae train mnist --method lorae --penalty 1e-4 --epochs 3 --out $(DEMO); \
	fi

smoke: $(VENV)/installed ## reproduce a table of the paper in its smallest preset, in a temporary folder
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		$(BIN)/lorae reproduce table3 --preset smoke --out "$$folder/table3"

# One thread a worker: several workers with several threads each would fight over the cores. By `worksteal` a worker takes
# neighboring tests, which share what a file trains once, until it is out of work.
test: $(VENV)/installed-dev ## run the tests, without the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not slow and not faults and not fuzz"

test-all: $(VENV)/installed-dev ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not slow and not faults and not fuzz"
	$(BIN)/python -m pytest -m "slow or faults or fuzz"

coverage: $(VENV)/installed-dev ## run the tests as `make test` does; fail where they reach too little of the package
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal -m "not slow and not faults and not fuzz" --cov --cov-report=term

lint: $(VENV)/installed-dev ## check the code with ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev ## measure speed and memory, as ratios within one run
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.frechet
	$(BIN)/python -m benchmarks.penalty
	$(BIN)/python -m benchmarks.pca
	$(BIN)/python -m benchmarks.alternatives
	$(BIN)/python -m benchmarks.truncation
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.growth

gpu: $(VENV)/installed-dev ## measure one GPU in eight minutes: ARGS="--mnist FOLDER --faces TAR"; --smoke without one
	$(BIN)/python -m benchmarks.gpu $(ARGS)

# The extra lite0, which one study needs, is part of the development environment.
study-%: $(VENV)/installed-dev ## run a study: train and measure what has no record, write results/NAME, draw its pages
	@test -f studies/$(subst -,_,$*).py || { echo "no study named $*; expected one of: $(STUDIES)" >&2; exit 2; }
	$(BIN)/python -m studies.$(subst -,_,$*) $(ARGS)

figures: $(VENV)/installed-dev ## draw all tables and pictures of README.md and docs/ anew from results/
	$(BIN)/python -m studies.figures
	$(BIN)/python -m benchmarks.pca --draw-only
	$(BIN)/python -m benchmarks.alternatives --draw-only
	$(BIN)/python -m benchmarks.throughput --draw-only
	$(BIN)/python -m benchmarks.growth --draw-only
	$(BIN)/python -m benchmarks.gpu --draw-only

man: $(VENV)/installed ## write the manual page man/lorae.1 anew from the parser
	$(BIN)/python -m lorae.cli.manual > man/lorae.1.new
	mv man/lorae.1.new man/lorae.1

dist: $(VENV)/installed-dev ## build the package in dist/, and check what an index would show of it
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

gallery: $(VENV)/installed-dev ## run the scripts of the gallery, draw their pictures and pages: ARGS="mnist layer" for some
	$(BIN)/python -m studies.gallery $(ARGS)

# The theme prints an advertisement for its successor unless the variable is set. Nothing is downloaded.
docs: $(VENV)/installed-docs ## build the documentation site in site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "open site/index.html"

clean: ## delete the environment, builds and caches
	rm -rf $(VENV) build dist site src/*.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
