# Two commands for a fresh machine with python3, venv, make and a C compiler: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Tests side by side; most of their time they wait for a traced program.
JOBS ?= 3

.PHONY: demo test test-programs check lint compare screenshot clean

demo: $(VENV)/.installed
	@$(MAKE) -s -C examples
	@$(BIN)/wxtrace -- examples/build/mdwe examples/build/jit_unchecked; \
	status=$$?; echo "(the program's exit status was $$status: 128 + SIGSEGV)"

test: $(VENV)/.dev
	$(BIN)/pytest -q -rs -n $(JOBS) --dist worksteal -m "not programs and not wine and not alone"
	$(BIN)/pytest -q -rs -m alone

# Real programs (node, java, chromium, Wine, …); what is not installed is skipped, and named.
test-programs: $(VENV)/.dev
	$(BIN)/pytest -q -rs -m "programs or wine"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p wxtrace

check: lint test

# What a change of the model changes: OLD is a folder of journals with the timelines that were made of them before it.
compare: $(VENV)/.dev
	$(BIN)/python tests/compare_timelines.py $(OLD)

# The picture in the README.
screenshot: $(VENV)/.dev
	@$(MAKE) -s -C examples
	$(BIN)/python docs/screenshot.py

# Installed in place: what runs is what stands here.
$(VENV)/.installed: pyproject.toml
	@echo "installing into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
	$(MAKE) -s -C examples clean
