# Needs python3 (3.11 or newer) and make; everything else goes into .venv, made by the first target that needs it.
PYTHON ?= python3
# Test processes side by side; each holds one torch thread, so that they do not fight over the cores.
WORKERS ?= 2
# More for pytest, as in: make test ARGS="-k windows"
ARGS ?=

PIP = .venv/bin/python -m pip -q -q --disable-pip-version-check install -c constraints.txt
PYTEST = OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term $(ARGS)

VENV = .venv/.made
CORE = .venv/.core-installed
DEV = .venv/.dev-installed

.PHONY: help demo docs test test-all lint venv clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo      train, compare and report on a simulated city, into runs/demo"
	@echo "make test      ruff, import-linter, pyright, and the fast tests"
	@echo "make test-all  the same with every test, and at least 85 % of the lines covered"
	@echo "make docs      the documentation, into docs/_build/html; a warning is a failure"
	@echo "make lint      ruff, import-linter and pyright alone"
	@echo "make venv      .venv with all that the tests need"
	@echo "make clean     remove what the targets made, but for .venv and the runs of your own"

demo: $(CORE)
	.venv/bin/fieldcast demo --out runs/demo

# Every check runs, whichever failed before it; the target fails when one of them did.
define LINT
failed=0; \
echo "ruff check"; .venv/bin/ruff check . || failed=1; \
echo "ruff format --check"; .venv/bin/ruff format --check . || failed=1; \
echo "import-linter"; .venv/bin/lint-imports --no-logo || failed=1; \
echo "pyright"; PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/pyright --pythonpath .venv/bin/python || failed=1; \
[ $$failed = 0 ] || echo "A check of make lint failed: its messages stand above." >&2;
endef

lint: $(DEV)
	@$(LINT) exit $$failed

test: $(DEV)
	@$(LINT) $(PYTEST) -m "not slow" || failed=1; exit $$failed

test-all: $(DEV)
	@$(LINT) $(PYTEST) --cov-fail-under=85 || failed=1; exit $$failed

docs: $(DEV)
	@.venv/bin/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html
	@echo "The documentation begins at docs/_build/html/index.html"

venv: $(DEV)

$(VENV):
	@command -v $(PYTHON) >/dev/null || { echo "fieldcast needs Python 3.11 or newer, and there is no $(PYTHON): install it, or name another one, as in make PYTHON=python3.12 test." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fieldcast needs Python 3.11 or newer, and %s is Python %d.%d.%d: name another one, as in make PYTHON=python3.12 test." % ((sys.argv[1],) + tuple(sys.version_info[:3])))' $(PYTHON)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv package (on Debian and Ubuntu python3-venv)." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

$(CORE): pyproject.toml constraints.txt | $(VENV)
	@echo "Installing fieldcast and its libraries into .venv (2 GB, several more where torch comes with CUDA; minutes on a slow line)"
	@$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(VENV)
	@echo "Installing fieldcast, its libraries and the test tools into .venv (2 GB, several more where torch comes with CUDA; minutes on a slow line)"
	@$(PIP) -e '.[dev]'
	@touch $(CORE) $@

clean:
	rm -rf build dist src/*.egg-info runs/demo docs/_build htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
