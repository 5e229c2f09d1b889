# Two commands are enough on a fresh machine with Python 3.11: `make demo` and `make test`.

PYTHON ?= python3.11
# The CPU build of torch. `make demo TORCH=2.13.0` takes the build that brings CUDA on Linux.
TORCH ?= 2.13.0+cpu

BIN := .venv/bin

.PHONY: demo test test-slow lint clean

demo: .venv/installed
	$(BIN)/edgevit demo --force

test: .venv/installed
	$(BIN)/python -m pytest -q

test-slow: .venv/installed
	$(BIN)/python -m pytest -q -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch first and pinned: a range would take the newest build, with gigabytes of CUDA. Where the index has no +cpu
# build (macOS has no other; elsewhere pip must be told of PyTorch's own index), the plain one works as well.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt "torch==$(TORCH)" \
		|| $(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[all,dev]"
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
