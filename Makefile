# The project's commands. `make demo` and `make test` need Python 3.11+, make and the package registries, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Everyday tests leave out the long ones and those that need a browser; CI runs all: make test TESTS=
TESTS  ?= -m "not long and not browser"
# Two processes share the files, in the order in which they are collected (tests/conftest.py).
SHARED := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test lint bench clean

demo: $(VENV)/.ready
	$(BIN)/loupe demo

test: $(VENV)/.ready-tools
	$(BIN)/python -m pytest $(SHARED) $(TESTS)

lint: $(VENV)/.ready-tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.ready-tools
	$(BIN)/python -m benchmarks.relevance
	$(BIN)/python -m benchmarks.fusion
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.runtimes

clean:
	rm -rf $(VENV) .loupe-demo build dist *.egg-info

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Loupe needs Python 3.11 or newer; this is " + sys.version)'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a minute or two the first time (torch is large) …"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.ready-tools: $(VENV)/.ready
	@$(INSTALL) --editable ".[lint,test]"
	@touch $@
