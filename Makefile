# make run     the server for localhost in the foreground, with everything that it needs
# make test    all tests, with everything that they need; this is what CI runs
# make check   linters, unit and property tests, no servers: under a minute
# make fuzz    10,000 examples for each parser
# make bench   beside other servers; see docs/performance.md
# make docs    the generated pages
# make lock    the lock files, anew

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= etc/jabberd.toml

BIN = $(VENV)/bin
LINTED = jabberd_tx tests twisted benchmarks
NPM = tests/system/xmppjs/node_modules/.package-lock.json
PYTEST = $(BIN)/python -m pytest
# Debian's own interpreter has an expat that waits for the end of split tokens: the wire is tested with it as well.
DEBIAN_PYTHON = /usr/bin/python3

.DELETE_ON_ERROR:
.PHONY: run test check unit fuzz bench docs lock lint debian clean

run: $(VENV)/run.done
	scripts/run $(VENV) $(CONFIG)

test: debian lint $(NPM)
	scripts/test-wire $(VENV) $(DEBIAN_PYTHON)
	HYPOTHESIS_PROFILE=test $(PYTEST) -q -m 'not system' -n auto
	HYPOTHESIS_PROFILE=test $(PYTEST) -q -m 'system and not load' -n auto --dist loadfile --durations=10
	HYPOTHESIS_PROFILE=test $(PYTEST) -q -m load

check: $(VENV)/test.done
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

unit: $(VENV)/test.done
	HYPOTHESIS_PROFILE=check $(PYTEST) -q -m 'not system' -n auto

fuzz: $(VENV)/test.done
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) -q -m fuzz -n auto

bench: $(VENV)/test.done
	$(BIN)/python benchmarks/run.py $(BENCH)

docs: $(VENV)/run.done
	$(BIN)/python -m jabberd_tx.services.reference

lint: $(VENV)/test.done
	$(BIN)/ruff check --quiet $(LINTED)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

debian:
	scripts/debian-packages tests/system/debian-packages.txt

$(VENV)/run.done: requirements.lock setup.cfg pyproject.toml $(wildcard twisted/plugins/*.py)
	scripts/make-venv $(PYTHON) $(VENV) requirements.lock
	touch $@

# All that a run needs, and more: whoever has this has the other.
$(VENV)/test.done: requirements-test.lock setup.cfg pyproject.toml $(wildcard twisted/plugins/*.py)
	scripts/make-venv $(PYTHON) $(VENV) requirements-test.lock
	touch $(VENV)/run.done $@

$(NPM): tests/system/xmppjs/package-lock.json | debian
	cd tests/system/xmppjs && npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier

COMPILE = CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --extra build

lock: $(VENV)/run.done
	$(BIN)/pip install --quiet pip-tools
	$(COMPILE) -o requirements.lock setup.cfg
	$(COMPILE) --extra test -c requirements.lock -o requirements-test.lock setup.cfg

clean:
	rm -rf $(VENV) build dist *.egg-info tests/system/xmppjs/node_modules .mypy_cache .ruff_cache
