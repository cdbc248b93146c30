PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check-examples bench clean

$(BIN)/planner: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "planner needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(BIN)/planner
	$(BIN)/planner search --cluster dgx-a100-128 --model gpt3-175b

lint: $(BIN)/planner
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Plans are not made anew when a constant changes by a per cent, so neither are they held to that.
check-examples: $(BIN)/planner
	$(BIN)/planner check examples/*.json --ignore stale,tight-fit --within-of-best 25%

test: lint check-examples
	$(BIN)/pytest -n 2

bench: $(BIN)/planner
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.check

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
