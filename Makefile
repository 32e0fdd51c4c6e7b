# `make demo` and `make test` work from a fresh clone; each makes .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Nothing here asks a model hub: what it needs is in the repository or in the package registry.
export HF_HUB_OFFLINE := 1
# Threads that wait by sleeping: spinning ones make a step five times as long when another program wants the cores.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help install demo test lint constraints clean

help:
	@echo "make demo         make pairs, train three tiny stages, restore a held-out clip, write demo/index.html"
	@echo "make test         install everything and run the tests"
	@echo "make lint         ruff, the type checker and the house rules"
	@echo "make constraints  renew constraints.txt from the newest versions that pyproject.toml allows"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("unshift needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python demo/make.py

# A process a core, with one thread each; tests of a file stay together and share what they made.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch stays where it was tested (a newer one is a decision); all else moves to the newest that resolves.
constraints:
	rm -rf .venv/renew && $(PYTHON) -m venv .venv/renew
	grep '^torch==' constraints.txt > .venv/renew/torch.txt
	.venv/renew/bin/python -m pip install --quiet --constraint .venv/renew/torch.txt --editable '.[dev]'
	.venv/renew/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > .venv/renew/constraints.txt
	(grep '^#' constraints.txt; cat .venv/renew/constraints.txt) > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf .venv build demo/work demo/index.html
