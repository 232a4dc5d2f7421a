# Everything there is to do with this checkout. Each target makes the environment it needs under .make/, out of nothing
# but Python, and makes it anew when pyproject.toml changes.

PYTHON ?= python3
CODE := cometflux tests benchmarks examples hatch_build.py
# Without compiled files each process that a test starts, and each run, compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

# How long, in seconds, a test may take that takes minutes; pyproject.toml has the limit of the others.
LONG := -o faulthandler_timeout=3600

# What each environment holds.
demo.needs := -e '.[cli,gallery,local]'
test.needs := -e '.[all]' --group test
lint.needs := --group lint
types.needs := -e '.[all]' --group types
docs.needs := -e '.[cli,local]' --group docs
bench.needs := -e '.[cli,distributed,images,local,parquet]' 'moto[server]>=5.1' trustme
bench-peers.needs := attrs trustme
uv.needs := uv
audit.needs := pip-audit
release.needs := --group release
floors.needs := $(test.needs) --constraint .make/floors.txt
backoff3.needs := $(test.needs)
# The fork has the same import name: it has to come in place of the other.
backoff3.then := .make/backoff3/bin/python -m pip uninstall --quiet --yes backoff && \
	.make/backoff3/bin/python -m pip install --quiet 'python-backoff>=3,<4'
readers.needs := -e '.[all,c2pa]' --group test datasets webdataset
engines.needs := -e '.[cli,local,store]' --group test apache-airflow data-designer prefect ray
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3.15
$(foreach each,$(PYTHONS),$(eval $(each).needs := $(test.needs)))

# Where a Python is that starts: on the path, or in the folder of pyenv, whose shims may stand for what is not chosen.
find = $(shell for each in $$(command -v $(1)) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(1:python%=%)*/bin/$(1); do \
	"$$each" -c "" 2>/dev/null && echo "$$each" && break; done)
HERE = $(strip $(foreach each,$(PYTHONS),$(if $(call find,$(each)),$(each))))

# The published schemas of files that other programs read, and these files.
SCHEMAS := github-workflows:.github/workflows/publish.yml github-workflows:.github/workflows/tests.yml \
	dependabot:.github/dependabot.yml github-issue-forms:.github/ISSUE_TEMPLATE/bug.yml \
	github-issue-forms:.github/ISSUE_TEMPLATE/idea.yml github-issue-config:.github/ISSUE_TEMPLATE/config.yml \
	readthedocs:.readthedocs.yaml citation-file-format:CITATION.cff

RESOLVE := .make/uv/bin/uv pip compile --quiet --upgrade --no-header --no-annotate --python .make/uv/bin/python --all-extras

.PHONY: help dist release-check changes demo test test-slow test-all test-hard lint types docs recording check bench bench-peers audit test-floors test-backoff3 test-readers test-engines test-judges test-pythons lanes
.PHONY: $(PYTHONS:%=test-%)

help: ## show this list (instant)
	@echo "How long a target takes: on two cores, once its environment is made, which may take another minute or two."
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: .make/demo/ready ## make a set of pictures, for free, with the local service (10 s)
	@.make/demo/bin/cometflux batch examples/prompts.csv --local --out demo-images
	@.make/demo/bin/cometflux gallery demo-images >/dev/null
	@echo "next: open demo-images/index.html in a browser; then make a set of your own, as README.md describes"

test: .make/test/ready ## run the quick tests (90 s)
	@.make/test/bin/python -m pytest -q -n auto --dist worksteal -m "not hard and not slow and not processes"

test-slow: .make/test/ready ## run the slow tests, and those that start programs, servers or browsers (5 min)
	@.make/test/bin/python -m pytest -q -n auto --dist worksteal -m "(slow or processes) and not hard"

test-all: .make/test/ready ## run both (5 min)
	@.make/test/bin/python -m pytest -q -n auto --dist worksteal -m "not hard"

test-hard: .make/test/ready ## run the tests that take minutes (20 min)
	@.make/test/bin/python -m pytest -q -n auto --dist worksteal $(LONG) -m hard

lint: .make/lint/ready ## look at style, layout, and the files for the forge (3 s)
	@.make/lint/bin/ruff check --quiet $(CODE)
	@.make/lint/bin/ruff format --quiet --check $(CODE)
	@for each in $(SCHEMAS); do \
	  found=$$(.make/lint/bin/check-jsonschema --builtin-schema vendor.$${each%%:*} $${each#*:}) || { echo "$$found"; exit 1; }; \
	done

types: .make/types/ready ## check the types (15 s)
	@.make/types/bin/mypy
	@.make/types/bin/mypy --platform win32 --cache-dir .mypy_cache/win32
	@.make/types/bin/mypy --config-file= --ignore-missing-imports --python-version 3.11 --cache-dir .mypy_cache/benchmarks benchmarks

# What a reader types into the search of the site.
SEARCHED := 429 concurrency img2img upscale timeout cost retry resume redo seed proxy
docs: .make/docs/ready ## build the documentation, to be read at .make/docs-html/index.html (15 s)
	@.make/docs/bin/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env \
	  -d .make/docs-trees docs .make/docs-html
	@.make/docs/bin/python tests/support/offline_site.py .make/docs-html
	@.make/docs/bin/python tests/support/searched_site.py .make/docs-html $(SEARCHED)
	@echo "built: .make/docs-html/index.html"

recording: .make/demo/ready ## record docs/terminal.svg, the picture of a run in a terminal (some seconds)
	@.make/demo/bin/python -m benchmarks.terminal

check: lint types docs test-all ## everything that must pass before a change goes in (6 min)

bench: .make/bench/ready ## measure (some minutes)
	@.make/bench/bin/python -m benchmarks

bench-peers: .make/bench-peers/ready ## measure other clients beside cometflux (some minutes)
	@.make/bench-peers/bin/python -m benchmarks.peers

audit: .make/audit/ready .make/uv/ready ## look for known vulnerabilities, in the newest and in the oldest allowed versions (some minutes)
	@failed=; for versions in highest lowest-direct; do \
	  echo "known vulnerabilities, versions: $$versions"; \
	  $(RESOLVE) --resolution $$versions --generate-hashes --output-file .make/audit/$$versions.txt pyproject.toml && \
	  .make/audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes \
	    --requirement .make/audit/$$versions.txt || failed="$$failed $$versions"; \
	done; \
	[ -z "$$failed" ] || { echo "not passed:$$failed; what could not be looked up counts as failed" >&2; exit 1; }

test-floors: .make/floors/ready ## run the tests with the oldest allowed versions (as long as test-all)
	@.make/floors/bin/python -m pytest -q -n auto --dist worksteal -m "not hard"

test-backoff3: .make/backoff3/ready ## run the tests with the fork python-backoff 3 (as long as test-all)
	@.make/backoff3/bin/python -m pytest -q -n auto --dist worksteal -m "not hard"

test-readers: .make/readers/ready ## read exported and signed files with the packages they are meant for (some minutes)
	@.make/readers/bin/python -m pytest -q -n 0 $(LONG) tests/labs/test_export_readers.py \
	  tests/labs/test_drafts_to_dataset.py \
	  tests/provenance/test_signing.py tests/cli/test_signing.py

test-engines: .make/engines/ready ## run the recipes for Ray, Prefect, Airflow and Data Designer with these packages (some minutes)
	@.make/engines/bin/python -m pytest -q -n 0 $(LONG) tests/labs/test_other_engines.py

test-judges: .make/test/ready ## let other programs check the local service: the vendor's own, Replicate's, Prism (some minutes)
	@.make/test/bin/python -m pytest -q -n auto --dist worksteal $(LONG) tests/labs/test_judges.py

test-pythons: ## run the tests on each Python from 3.11 on that is here (as long as test-all, for each)
	@$(foreach each,$(filter-out $(HERE),$(PYTHONS)),echo "$(each): not on this machine, not tested";)
	@$(if $(HERE),$(MAKE) --no-print-directory --keep-going $(HERE:%=test-%),exit 1)

$(PYTHONS:%=test-%): test-%:
	@$(if $(call find,$*),$(MAKE) --no-print-directory .make/$*/ready PYTHON="$(call find,$*)",echo "$*: not on this machine" >&2; exit 1)
	@.make/$*/bin/python -VV
	@.make/$*/bin/python -m pytest -q -n auto --dist worksteal -m "not hard"

# Two builds with one digest: the checkout's, and that of its commit, unpacked elsewhere. SOURCE_URL: see hatch_build.py.
BUILD = SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .make/release/bin/python -m build --no-isolation --outdir

dist: .make/release/ready ## build wheel and sdist of this commit in dist/, twice, and compare (10 s)
	@[ -z "$$(git status --porcelain)" ] || { echo "commit your changes first: a release is built from a commit" >&2; exit 1; }
	@rm -rf dist .make/commit .make/dist-again && mkdir -p .make/commit
	@git archive HEAD | tar -x -C .make/commit
	@$(BUILD) dist . >.make/dist.log || { cat .make/dist.log; exit 1; }
	@$(BUILD) .make/dist-again .make/commit >.make/dist.log || { cat .make/dist.log; exit 1; }
	@diff -r dist .make/dist-again
	@.make/release/bin/python -m pip hash dist/*

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' cometflux/__init__.py)

release-check: dist docs ## check all that a release consists of: packages, installed and run; site, SBOM, changes (2 min)
	@.make/release/bin/python -m twine check --strict dist/*
	@.make/release/bin/check-wheel-contents dist/*.whl
	@for package in dist/*.tar.gz dist/*.whl; do \
	  echo "installing $$package into an empty environment, and making a set of pictures with it"; \
	  rm -rf .make/installed .make/installed-demo && $(PYTHON) -m venv --without-pip .make/installed && mkdir .make/installed-demo && \
	  .make/release/bin/python -m pip --python .make/installed/bin/python install --quiet "$$PWD/$$package[all]" && \
	  (cd .make/installed-demo && ../installed/bin/cometflux batch ../../examples/prompts.csv --local --out pictures >/dev/null && \
	  [ "$$(../installed/bin/python -m cometflux --version)" = "$(VERSION)" ]) || exit 1; \
	done
	@sed "s/^dynamic = .*/version = \"$(VERSION)\"/" pyproject.toml >.make/sbom-pyproject.toml
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .make/release/bin/cyclonedx-py environment --output-reproducible \
	  --mc-type library --pyproject .make/sbom-pyproject.toml --output-file .make/sbom.cdx.json .make/installed/bin/python
	@$(MAKE) --no-print-directory changes
	@echo "checked: dist/, .make/docs-html/, .make/sbom.cdx.json"

changes: ## print what the changelog says about this version (instant)
	@awk '/^## /{on = index($$0, "[" version "] - ")} on {print; found = 1} END {exit !found}' \
	  version="$(VERSION)" CHANGELOG.md

lanes: ## audit, and the tests with other versions of everything (long)
	@$(MAKE) --no-print-directory --keep-going audit test-floors test-backoff3 test-readers test-engines test-judges test-pythons

.make/%/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("cometflux needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "making .make/$*"
	@$(PYTHON) -m venv --clear .make/$*
	@.make/$*/bin/python -m pip install --quiet --upgrade pip
	@.make/$*/bin/python -m pip install --quiet $($*.needs)
	@$($*.then)
	@touch $@

.make/floors/ready: .make/floors.txt

.make/floors.txt: pyproject.toml .make/uv/ready
	@$(RESOLVE) --group test --resolution lowest-direct --output-file $@ pyproject.toml
