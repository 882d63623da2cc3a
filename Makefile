# make run [ARGS="prompt=... seed=1"]   set up if needed, then the main job
# make check                            set up with the developer's tools, then lint, types and the tests of the core
# make test                             the same with all tests but the slow ones
# make setup                            only the set-up for runs, in .venv
# TORCH_BUILD=cpu|cuda                  the build of PyTorch; by default cuda where nvidia-smi finds a GPU

PYTHON ?= python3
BIN := .venv/bin
TESTS := not slow and not gpu
TORCH_BUILD ?= $(shell nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

CORE := $(wildcard tests/test_*.py $(addprefix tests/,backend camera densify field guidance init loss menagerie metric \
	noising prior prompting rasterizer representation sigma statistics warping))
# One more than cores: many tests wait for programs that they start
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST = $(BIN)/pytest -n $(WORKERS) --maxprocesses 4 --dist loadgroup

# Many tests start Python, which would compile the package anew each time
export PYTHONDONTWRITEBYTECODE =

.PHONY: run check test lint setup

run: setup
	$(BIN)/python run.py $(ARGS)

check: lint
	$(PYTEST) -m "not slow and not gpu and not program" $(CORE)

test: lint
	$(PYTEST) -m "$(TESTS)"

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: .venv/ready

# The CPU build of PyTorch goes in first, so that nothing drags in CUDA: from pip's own sources where they have it, else
# by uv, which knows where PyTorch keeps it. With a GPU, pip takes the usual build. The distribution
# gsd is another project's, or this one's former name; both would hide gsd-lab. One step at the end compiles the kernels
# and renders the menagerie's bank, so that the first real run starts at once.
.venv/ready: pyproject.toml requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip uninstall -qq --yes gsd
	test $(TORCH_BUILD) = cuda \
	|| $(BIN)/pip install --quiet "torch==$(TORCH)+cpu" 2>/dev/null \
	|| { $(BIN)/pip install --quiet uv && VIRTUAL_ENV=.venv $(BIN)/uv pip install --torch-backend cpu "torch==$(TORCH)"; }
	$(BIN)/pip install --quiet -r requirements.txt
	rm -rf .venv/warm-up && $(BIN)/python run.py steps=1 hydra.run.dir=.venv/warm-up >/dev/null
	touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@
