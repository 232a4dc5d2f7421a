# Everything there is to do with this checkout. Each target makes the environment it needs under .make/, out of nothing
# but Python, and makes it anew when pyproject.toml changes.

PYTHON ?= python3
CODE := cometflux tests benchmarks examples

# What each environment holds.
demo.needs := -e '.[cli,local]'
test.needs := -e '.[all]' --group test
lint.needs := --group lint
types.needs := -e '.[all]' --group types
bench.needs := -e '.[all]'

.PHONY: help demo test test-hard lint types check bench

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: .make/demo/ready ## make a set of pictures, for free, with the local service
	@rm -rf demo-images
	@.make/demo/bin/cometflux batch examples/prompts.csv --local --out demo-images

test: .make/test/ready ## run the tests
	@.make/test/bin/python -m pytest -q -n auto -m "not hard"

test-hard: .make/test/ready ## run the slow proofs
	@.make/test/bin/python -m pytest -q -n auto -m hard

lint: .make/lint/ready ## look at style and layout
	@.make/lint/bin/ruff check --quiet $(CODE)
	@.make/lint/bin/ruff format --quiet --check $(CODE)

types: .make/types/ready ## check the types
	@.make/types/bin/mypy

check: lint types test ## all that has to hold before a change goes in

bench: .make/bench/ready ## measure
	@.make/bench/bin/python -m benchmarks

.make/%/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("cometflux needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "making .make/$*"
	@$(PYTHON) -m venv --clear .make/$*
	@.make/$*/bin/python -m pip install --quiet --upgrade pip
	@.make/$*/bin/python -m pip install --quiet $($*.needs)
	@touch $@
