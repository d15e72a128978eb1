# make demo | test | test-faults | test-browser | coverage | lint | bench | bench-gpu: each makes .venv and installs on a fresh machine.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A test file stays on one core: what its tests share is made once.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-faults test-browser coverage lint bench bench-gpu notebooks

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dishvl demo

test: $(STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) --ignore=tests/faults --ignore=tests/browser

test-faults: $(STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) tests/faults

test-browser: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt playwright
	$(BIN)/python -m pytest -q tests/browser

coverage: $(STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) --ignore=tests/faults --ignore=tests/browser --cov --cov-report=term:skip-covered

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dishvl_lib

bench: $(STAMP)
	for script in $(filter-out benchmarks/bench_gpu.py benchmarks/bench_own_confusions.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$script || exit 1; done

bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/bench_gpu.py
	$(BIN)/python benchmarks/real_size.py --size 7b --device cuda

notebooks: $(STAMP)
	$(BIN)/python -m dishvl_lib.notebook_cells
