# `make demo` and `make test` set up all they need; both reuse the environment when nothing changed.
.PHONY: demo test test-all env lint docs clean
PYTEST := .venv/bin/python -m pytest
# Two test processes are quickest on two cores. One thread each, for the demo as well: two threads that wait for each
# other on cores that others use too are slower than one.
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

demo: env        ## set up, and run the whole way on a synthetic meet
	.venv/bin/fdpose demo --out demo

test: env        ## set up, and run the tests that take minutes
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not slow and not gpu"

test-all: env    ## the slow ones too
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not gpu"

env:             ## make or refresh .venv; see tools/make_env.sh for its settings
	@tools/make_env.sh

lint: env        ## style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: env        ## build the documentation into site/, strictly: a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

clean:           ## remove what make made
	rm -rf .venv demo site .pytest_cache .mypy_cache .ruff_cache
