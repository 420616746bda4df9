# One command for everything: make check
.PHONY: setup check format lint types test thorough fuzz docs site

setup:
	python3 -m venv .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable ".[dev]"

check: lint types test

format:
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lint:
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types:
	.venv/bin/mypy

test:
	.venv/bin/pytest --numprocesses 2

thorough:
	GAD_THOROUGH=1 HYPOTHESIS_PROFILE=thorough .venv/bin/pytest --numprocesses 2

fuzz:
	PYTHONPATH=tests .venv/bin/python -m fuzz --inputs 20000 --processes 2

docs:
	.venv/bin/python -m gad_core.registry.reference
	.venv/bin/python -m gad_core.cli.reference

site:
	.venv/bin/python -m sphinx -W --keep-going -q docs site
