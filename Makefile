# Everything from a bare checkout: `make demo`, `make test`. Needs Python 3.11 and make.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: help demo test slow check browser bench clean

help:
	@echo "make demo   fit a VAE to the digits data and draw it: runs/demo/"
	@echo "make test   checks and tests, under 12 minutes on 2 cores"
	@echo "make slow   the minutes-long tests as well; MINAMO_DATA=folder adds those on MNIST"
	@echo "make check  formatting, types, layers, public names"
	@echo "make browser  what the tests in a real browser need, on Debian; without it they are skipped"
	@echo "make bench  all that stands in benchmarks/RESULTS.md, an hour on 2 cores; needs MINAMO_DATA=folder, and"
	@echo "            sets the peers up in .venv-peers"

$(BIN)/installed: pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(BIN)/installed
	rm -rf runs/demo
	$(BIN)/minamo fit digits -o runs/demo

test: check
	$(BIN)/pytest -m "not slow"

slow: $(BIN)/installed
	$(BIN)/pytest

check: $(BIN)/installed
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/pyright --warnings
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest tests/test_public_names.py

browser: $(BIN)/installed
	apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium
	$(BIN)/pip install --quiet --disable-pip-version-check playwright==1.65.2

.venv-peers/installed: benchmarks/peers/requirements.txt constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement benchmarks/peers/requirements.txt
	touch $@

bench: $(BIN)/installed .venv-peers/installed
	$(BIN)/python benchmarks/gradients.py
	$(BIN)/python benchmarks/ladder.py
	$(BIN)/python benchmarks/step7.py
	$(BIN)/python benchmarks/rows.py
	$(BIN)/python benchmarks/sizes.py
	$(BIN)/python benchmarks/priors.py
	$(BIN)/python benchmarks/choices.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/speed.py --peers-python .venv-peers/bin/python
	$(BIN)/python benchmarks/to_100_nats.py --peers-python .venv-peers/bin/python
	$(BIN)/python benchmarks/evidence.py
	PYTHONPATH=src .venv-peers/bin/python -m benchmarks.peers.judge_pyro
	PYTHONPATH=src .venv-peers/bin/python -m benchmarks.peers.judge_pythae

clean:
	rm -rf .venv .venv-peers runs
