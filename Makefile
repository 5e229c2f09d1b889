# Two commands are enough on a fresh machine with Python 3.11: `make demo` and `make test`.

PYTHON ?= python3.11
# The CPU build of torch. `make demo TORCH=2.13.0` takes the build that brings CUDA on Linux.
TORCH ?= 2.13.0+cpu

BIN := .venv/bin
# What stands in .venv, by name: asking for another Python or another torch makes it anew.
MADE := .venv/made-by-$(subst /,_,$(PYTHON))
INSTALLED := .venv/installed-torch-$(TORCH)
# The same torch without the build after the plus.
PLAIN := $(firstword $(subst +, ,$(TORCH)))

.PHONY: demo test test-slow fuzz lint clean

demo: $(INSTALLED)
	$(BIN)/edgevit demo --force

test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow -n 2 --dist load

# Hours on two cores; FUZZ="--count 200" is shorter, and what was done is not done again.
fuzz: $(INSTALLED)
	$(BIN)/python benchmarks/fuzz.py $(FUZZ)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(MADE):
	$(PYTHON) -m venv $(if $(wildcard .venv/made-by-*),--clear) .venv
	touch $@

# torch first and pinned: a range would take the newest build, with gigabytes of CUDA. Where the index has no +cpu
# build (macOS has no other; elsewhere pip must be told of PyTorch's own index), the plain one works as well.
# Another torch goes first: to pip, 2.13.0+cpu is as good as 2.13.0.
$(INSTALLED): $(MADE) pyproject.toml constraints.txt
	$(if $(filter-out $@,$(wildcard .venv/installed-torch-*)),$(BIN)/python -m pip uninstall -q -y torch)
	rm -f .venv/installed-torch-*
	$(BIN)/python -m pip install -q -c constraints.txt "torch==$(TORCH)" \
		|| { test "$(TORCH)" != "$(PLAIN)" && \
		echo "no torch $(TORCH) from this index: taking $(PLAIN), which on Linux brings gigabytes of CUDA" && \
		$(BIN)/python -m pip install -q -c constraints.txt "torch==$(PLAIN)"; }
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[all,dev]"
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
