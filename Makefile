# Everything a person or a build server does with this repository. `make` alone lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet install --require-hashes -r
LOCK := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
N ?= 14951
REFERRALS ?= 1000000

.PHONY: assets bench-orders bench-poller bench-rpc check clean help installed installed-dev lint lock programs run screenshot templates test types venv

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done

run: installed assets ## start everything on this machine; Ctrl-C stops it
	@exec $(PY) -m sandbox up

test: installed-dev assets programs ## run all tests
	@exec $(PY) -m pytest -n 4 --dist worksteal

check: lint types templates test ## lint, types, templates and all tests

lint: installed-dev ## check style and layout of the Python code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: installed-dev ## check the types
	@$(PY) -m mypy

templates: installed-dev ## check the page templates
	@$(PY) -m djlint portal/templates --lint --quiet

assets: installed ## fetch the third-party files of the pages, where they are missing
	@$(PY) assets.py --check || { echo "Building the static assets ..." \
		&& $(PIP) requirements-build.lock && $(PY) assets.py; }

bench-orders: installed-dev assets programs ## measure N orders from their documents to their mails
	@exec $(PY) -m bench.orders --orders $(N)

bench-poller: installed-dev programs ## measure a pass of the spend poller over REFERRALS open referrals
	@exec $(PY) -m bench.poller --referrals $(REFERRALS)

bench-rpc: installed-dev programs ## measure JSON-RPC over REFERRALS referrals, beside a bare Flask view
	@exec $(PY) -m bench.rpc --referrals $(REFERRALS)

screenshot: installed-dev assets programs ## take the picture of the README
	@exec $(PY) -m docs.screenshot

lock: installed-dev ## write the lock files anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@$(LOCK) pyproject.toml --extra local -o requirements.lock
	@$(LOCK) pyproject.toml --extra local --group dev -c requirements.lock -o requirements-dev.lock
	@$(LOCK) --group pyproject.toml:build -o requirements-build.lock

clean: ## remove all that was made here, with the database
	@rm -rf $(VENV) var build dist node_modules portal/static/vendor .ruff_cache .hypothesis
	@find portal jobs sandbox bench tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# An environment is good when its Python is of our versions and pip, the last thing that venv puts in, is there.
venv:
	@test -x $(VENV)/bin/pip && $(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
		|| PYTHON='$(PYTHON)' sh .ci/make-venv $(VENV)

# The copy of a lock inside the environment tells what is installed there.
installed: venv
	@cmp -s requirements.lock $(VENV)/requirements.lock || { echo "Installing the locked requirements ..." \
		&& $(PIP) requirements.lock && cp requirements.lock $(VENV)/; }

installed-dev: installed
	@cmp -s requirements-dev.lock $(VENV)/requirements-dev.lock || { echo "Installing what the tests need ..." \
		&& $(PIP) requirements-dev.lock && cp requirements-dev.lock $(VENV)/; }

programs:
	@sh .ci/install-programs
