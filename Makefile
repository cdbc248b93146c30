PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Exact versions of everything that is installed; empty: the newest that pyproject.toml allows.
CONSTRAINTS := constraints.txt
PYTHONS := python3.11 python3.12 python3.13 python3.14

.PHONY: docs demo test lint tests test-browser test-fast test-random test-newest test-oldest test-pythons lock examples check-examples fuzz bench clean

$(BIN)/planner: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "planner needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(if $(CONSTRAINTS),PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS)) \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(BIN)/planner
	$(BIN)/planner search --cluster dgx-a100-128 --model gpt3-175b

# Everything that CI runs.
test: lint check-examples tests

lint: $(BIN)/planner
	PRE_COMMIT_HOME=$(CURDIR)/$(VENV)/pre-commit $(BIN)/pre-commit run --all-files --show-diff-on-failure

# Plans are not chosen anew when a constant changes by a per cent, so neither are they held to that.
examples: $(BIN)/planner
	for file in examples/*.json; do \
	  name=$$(basename $$file .json); \
	  $(BIN)/planner estimate --cluster $${name##*-on-} --model $${name%%-on-*} \
	    --plan $$file#1 --json > $$file.new && mv $$file.new $$file || exit 1; \
	done

check-examples: $(BIN)/planner
	$(BIN)/planner check examples/*.json --ignore stale,tight-fit --within-of-best 25%

tests: $(BIN)/planner
	$(BIN)/pytest -n 2

# The page of `planner report` in Chromium: Debian's where there is none, driven by playwright.
test-browser: $(BIN)/planner
	command -v chromium chromium-browser google-chrome >/dev/null || tools/install-chromium.sh
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	PLANNER_BROWSER_TESTS=1 $(BIN)/pytest tests/browser

# The documentation as a site, in build/site; a link that leads nowhere is an error.
docs: $(BIN)/planner
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python -m tools.site build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

test-fast: $(BIN)/planner
	$(BIN)/pytest -n 2 -m 'not slow'

# Property tests with more and other examples every time; each failure prints how to repeat it.
test-random: $(BIN)/planner
	PLANNER_EVERY_INSTANCE=1 $(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=random

# The newest releases of everything that pyproject.toml allows, in an environment made anew.
test-newest:
	rm -rf .venv-newest
	$(MAKE) --no-print-directory tests VENV=.venv-newest CONSTRAINTS=
	.venv-newest/bin/mypy

# The oldest releases that it allows, so that its bounds are tried and not guessed.
test-oldest:
	rm -rf .venv-oldest
	mkdir -p build
	$(PYTHON) -m tools.oldest > build/oldest.txt
	$(MAKE) --no-print-directory tests VENV=.venv-oldest CONSTRAINTS=build/oldest.txt

# Every Python that is here, each in an environment of its own.
test-pythons:
	@tried=; for python in $(PYTHONS); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
	    || { echo "$$python: not here"; continue; }; \
	  echo "Python $$version"; \
	  $(MAKE) --no-print-directory tests PYTHON=$$python VENV=.venv-$$version || exit 1; \
	  tried="$$tried $$version"; \
	done; echo "passed on:$${tried:- none of $(PYTHONS)}"; test -n "$$tried"

# Renews constraints.txt, with the oldest Python, whose packages the newer ones can use too.
lock:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "make lock PYTHON=python3.11")'
	rm -rf .venv-lock
	$(MAKE) --no-print-directory .venv-lock/bin/planner VENV=.venv-lock CONSTRAINTS=
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check hatchling editables
	{ grep '^#' constraints.txt; .venv-lock/bin/python -m pip freeze --exclude-editable; } > .venv-lock/new
	mv .venv-lock/new constraints.txt
	rm -rf .venv-lock

# Random valid scenarios and damaged files at length; COUNT of each, from SEED on, for MINUTES at
# most. WHAT=scenarios or mutants runs one of the two; failures are kept in FOLDER.
WHAT := all
FOLDER := fuzz-failures
fuzz: $(BIN)/planner
	$(BIN)/python -m tests.fuzz $(WHAT) --folder $(FOLDER) \
	  $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(MINUTES),--minutes $(MINUTES))

bench: $(BIN)/planner
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.check

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
