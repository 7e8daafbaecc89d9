# `make demo` and `make test` are each enough on a machine with Python 3.11 and a package index.
#   PYTHON=python3.11   the interpreter that makes the virtual environment
#   VENV=.venv          where it goes
#   TEST_PROCESSES=2    processes that share the tests

PYTHON ?= python3.11
VENV ?= .venv
TEST_PROCESSES ?= 2
DEMO_OUT ?= work_dirs/demo

PY := $(VENV)/bin/python
# loadgroup: tests that share an expensive fixture (xdist_group) stay in one process.
PYTEST := $(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all lint format install clean

# The main job on generated street scenes: train, evaluate, compare, report.
demo: $(INSTALLED)
	$(PY) tools/demo.py --out $(DEMO_OUT)

# Lint, format check and every test that is not marked slow.
test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

install: $(INSTALLED)

# Installed again only when the pins or the package's own metadata change.
$(INSTALLED): constraints.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade-strategy only-if-needed -c constraints.txt -e '.[dev]'
# mmcv asks for opencv-python, which needs the system's libGL. The headless build of the same version brings the same
# `cv2` without it, and has to be written last.
	$(PY) -m pip install --quiet --force-reinstall --no-deps -c constraints.txt opencv-python-headless
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
