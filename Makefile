# Everything runs in .venv, which is made with the first Python >= 3.11 that works. BROKER=4.3 (or 3.10) chooses the
# RabbitMQ of the tests, ARGS goes to pytest. The tests mostly wait, so a few files run side by side, each with a broker
# of its own; WORKERS=0 runs them one after the other.

PYTHON := .venv/bin/python
STAMP := .venv/installed
BENCH_STAMP := .venv/installed-bench
WORKERS := 4
PYTHONS := python3.13 python3.12 python3.11 python3

.PHONY: demo test check fix soak bench bench-history bench-recorder bench-smoke clean help

help:
	@echo 'make demo    count words over the standard library, with failures injected'
	@echo 'make test    all tests; BROKER=4.3 on that RabbitMQ, ARGS="-k name" for pytest'
	@echo 'make soak    200,000 mixed jobs on one worker, which must not grow'
	@echo 'make check   linter, formatter, both type checkers'
	@echo 'make fix     repair what the linter and the formatter can'
	@echo 'make bench   measure speed beside Celery, Dramatiq and Taskiq; ARGS="--only drain --runs 1"'
	@echo 'make bench-history   what a question to the history of 1,000,000 jobs takes; ARGS="--jobs 100000"'
	@echo 'make bench-recorder   a recorder beside the fastest worker; ARGS="--jobs 50000 --only sqlite"'
	@echo 'make clean   remove what was made here'

demo: $(STAMP)
	$(PYTHON) -m examples.wordcount.demo

test: $(STAMP)
	$(if $(BROKER),WARREN_TEST_BROKER=$(BROKER)) $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(STAMP)
	WARREN_TEST_SOAK=200000 $(if $(BROKER),WARREN_TEST_BROKER=$(BROKER)) $(PYTHON) -m pytest -s tests/faults/test_soak.py

check: $(STAMP)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/basedpyright tests/typing

fix: $(STAMP)
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

bench: $(BENCH_STAMP)
	$(if $(BROKER),BROKER=$(BROKER)) $(PYTHON) -m benchmarks $(ARGS)

bench-history: $(STAMP)
	$(PYTHON) -m benchmarks.history $(ARGS)

bench-smoke: $(BENCH_STAMP)
	$(if $(BROKER),BROKER=$(BROKER)) $(PYTHON) -m benchmarks --smoke $(ARGS)
	$(PYTHON) -m benchmarks.history --jobs 2000
	$(if $(BROKER),BROKER=$(BROKER)) $(PYTHON) -m benchmarks.recording --jobs 1000

bench-recorder: $(STAMP)
	$(if $(BROKER),BROKER=$(BROKER)) $(PYTHON) -m benchmarks.recording $(ARGS)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Tried by running: a version manager may leave commands on the path that only say which version is missing.
$(STAMP): pyproject.toml
	@python=; for each in $(PYTHONS); do \
		if $$each -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$each; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'Warren needs Python 3.11 or newer with its venv module, and none of these is that: $(PYTHONS).' >&2; \
		echo 'Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv), then run make again.' >&2; exit 1; \
	fi; \
	echo "setting up .venv with $$python"; $$python -m venv --clear .venv
	$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PYTHON) -m pip install --quiet --editable . --group dev
	@touch $@

# What is measured beside Warren, and nothing else needs.
$(BENCH_STAMP): $(STAMP)
	$(PYTHON) -m pip install --quiet --group bench
	@touch $@
