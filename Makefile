# `make quickstart` and `make test` need nothing but python3 (3.10 to 3.12), pip, make and a compiler.
SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && { echo $$p; break; }; done)
endif
BIN := .venv/bin

.PHONY: help install quickstart capsule-demo test test-all fuzz lint tables docs lock clean

help:
	@echo 'make quickstart   install, then train and test on photographs (about 5 minutes)'
	@echo 'make capsule-demo install, then train and test the capsule framework (some minutes)'
	@echo 'make test         install, then run the tests for every change (at most 6 minutes)'
	@echo 'make test-all     install, then run every test'
	@echo 'make fuzz         install, then try damaged files (EXAMPLES=5000 of each kind)'
	@echo 'make lint         ruff and mypy'
	@echo 'make tables       write anew what the code says of itself: docs/options.md, archs/networks.json'
	@echo 'make docs         the documentation as a site, in build/site'
	@echo 'make lock         pin the newest versions that fit setup.py in requirements.lock'

install: .venv/installed

.venv/installed: requirements.lock setup.py pyproject.toml
	@[ -n '$(PYTHON)' ] && '$(PYTHON)' -c '$(SUITABLE)' 2>/dev/null || { \
		echo "error: Python 3.10 to 3.12 is needed, but $$('$(or $(PYTHON),python3)' --version 2>&1 | tail -n 1) was found; install one and run make with PYTHON=/path/to/python3.12" >&2; exit 2; }
	'$(PYTHON)' -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.lock || \
		$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

quickstart: install
	@$(BIN)/python -m enhancement.demos.quickstart

capsule-demo: install
	@$(BIN)/python -m enhancement.demos.capsule

# a process a core, each with one thread: threads that wait for each other would only spin
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: install
	@$(PYTEST) -m 'not slow'

test-all: install
	@$(PYTEST)

# other ones in every run; `make test-all` tries a few, always the same
EXAMPLES := 5000
fuzz: install
	@FUZZ_EXAMPLES=$(EXAMPLES) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tables: install
	$(BIN)/enhance options --markdown > build-options.md && mv build-options.md docs/options.md
	$(BIN)/python -m enhancement.inference.catalogue

# in an environment of its own, so that .venv stays as it is pinned
docs: install
	$(BIN)/uv tool run --quiet --from 'mkdocs>=1.6,<2' --with 'mkdocs-material>=9.6,<10' \
		mkdocs build --strict
	@echo 'Written: build/site/index.html'

lock: install
	$(BIN)/uv pip compile --universal --python-version 3.10 --no-header --no-annotate --upgrade \
		--extra dev setup.py requirements.in -o requirements.lock

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
