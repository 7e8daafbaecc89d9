# `make demo` and `make test` are each enough on a machine with Python 3.11 and a package index.
#   PYTHON=python3.11   the interpreter that makes the virtual environment
#   VENV=.venv          where it goes
#   TEST_PROCESSES=2    processes that share the tests; on a GPU machine with 16 cores 14 do well

PYTHON ?= python3.11
VENV ?= .venv
TEST_PROCESSES ?= 2
DEMO_OUT ?= work_dirs/demo
BENCH_OUT ?= work_dirs/bench_gpu

PY := $(VENV)/bin/python
# loadgroup: tests that share an expensive fixture (xdist_group) stay in one process.
PYTEST := $(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup --durations=10
INSTALLED := $(VENV)/.installed

.PHONY: demo gallery docs test test-fast test-all test-gpu lint format install bench-gpu clean

# The main job on generated street scenes: train, evaluate, compare, report.
demo: $(INSTALLED)
	$(PY) tools/demo.py --out $(DEMO_OUT)

# The pictures of the docs, from the demo's checkpoints and from scikit-image's photographs.
gallery: $(INSTALLED)
	$(PY) tools/gallery.py --demo $(DEMO_OUT)

# Triton decides when a kernel is defined whether its interpreter runs it: a second pytest does, on the CPU. Where Triton is
# missing its tests are skipped with that reason.
INTERPRETED := TRITON_INTERPRET=1 $(PYTEST) tests/test_gpu

# Lint, format check and every test that is not marked slow.
test: lint
	$(PYTEST) -m 'not slow'
	$(INTERPRETED) -m 'not slow'

# For the loop while coding: the activations and how they are computed, placed and looked at.
FAST := $(addprefix tests/test_,activations ops replacement compat inspection evaluation results)
test-fast: $(INSTALLED)
	$(PYTEST) -m 'not slow' $(FAST)

test-all: lint
	$(PYTEST)
	$(INTERPRETED)

# What needs CUDA, and nothing else: the fused kernels on a GPU. They are skipped where there is none.
test-gpu: $(INSTALLED)
	$(PYTEST) -m 'gpu and not slow' -rs

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/codespell mm_frelu tools tests configs docs *.md *.py *.toml Makefile
	$(PY) -m mypy

# The site in site/: open site/index.html. Nothing is fetched, and a warning is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

install: $(INSTALLED)

# Installed again only when the pins or the package's own metadata change.
$(INSTALLED): constraints.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade-strategy only-if-needed -c constraints.txt -e '.[dev]'
# The loops of the activations: a run that compiles them rounds other than one that finds them compiled. Where Numba does not
# work torch's operators take their place.
	$(PY) -W ignore -m mm_frelu.ops.cpu || echo 'FReLU will be computed without them.'
	touch $@

# What docs/performance.md says about GPUs, as JSON: the activation alone, two whole networks, and the host's work.
BENCH := $(PY) tools/analysis_tools
bench-gpu: $(INSTALLED)
	mkdir -p $(BENCH_OUT)
	for dtype in float32 bfloat16; do for layout in nchw channels_last; do for mode in train frozen deploy; do \
	  $(BENCH)/benchmark_activation.py --device cuda --batch 4 --repeat 20 --dtype $$dtype --layout $$layout --mode $$mode \
	    --json $(BENCH_OUT)/activation-$$dtype-$$layout-$$mode.json --plot $(BENCH_OUT)/activation-$$dtype-$$layout-$$mode.png \
	    || exit 1; \
	done; done; done
	for layer in LightFReLU DyReLUB DyReLUC; do for dtype in float32 bfloat16; do for layout in nchw channels_last; do \
	  $(BENCH)/benchmark_activation.py --device cuda --batch 4 --repeat 20 --layer $$layer --dtype $$dtype --layout $$layout \
	    --json $(BENCH_OUT)/activation-$$layer-$$dtype-$$layout-train.json || exit 1; \
	done; done; done
	for dtype in float32 bfloat16; do for layout in nchw channels_last; do \
	  $(BENCH)/benchmark_model.py configs/pspnet/pspnet_r50b-frelu-d8_4xb2-40k_cityscapes-512x1024.py --device cuda \
	    --shape 512 1024 --batch 4 --dtype $$dtype --layout $$layout --json $(BENCH_OUT)/pspnet-$$dtype-$$layout.json || exit 1; \
	  $(BENCH)/benchmark_model.py configs/retinanet/retinanet_r50-frelu_fpn_1x_coco.py --device cuda \
	    --shape 800 1344 --batch 2 --dtype $$dtype --layout $$layout --json $(BENCH_OUT)/retinanet-$$dtype-$$layout.json || exit 1; \
	done; done
	$(BENCH)/benchmark_host.py --device cuda --json $(BENCH_OUT)/host.json

clean:
	rm -rf $(VENV) build dist *.egg-info
