# `make demo` and `make test` install everything they need. They require Python 3.11 and a package index.
#   PYTHON=python3.11   interpreter for the virtual environment
#   VENV=.venv          folder of the virtual environment
#   TEST_PROCESSES=2    number of test processes; 14 work well on a GPU machine with 16 cores

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

# Train, evaluate and compare models on generated street scenes, and write a report.
demo: $(INSTALLED)
	$(PY) tools/demo.py --out $(DEMO_OUT)

# Create the pictures of the docs, from the demo's checkpoints and scikit-image's photographs.
gallery: $(INSTALLED)
	$(PY) tools/gallery.py --demo $(DEMO_OUT)

# Triton chooses its interpreter when a kernel is defined, so a second pytest run tests the kernels on the CPU. Without Triton,
# these tests are skipped.
INTERPRETED := TRITON_INTERPRET=1 $(PYTEST) tests/test_gpu

# Lint, format check and every test that is not marked slow.
test: lint
	$(PYTEST) -m 'not slow'
	$(INTERPRETED) -m 'not slow'

# Quick tests during development: the activations, their backends, placement, inspection and evaluation.
FAST := $(addprefix tests/test_,activations ops replacement inspection evaluation results)
test-fast: $(INSTALLED)
	$(PYTEST) -m 'not slow' $(FAST)

test-all: lint
	$(PYTEST)
	$(INTERPRETED)

# Only the tests that need CUDA: the fused kernels on a GPU. Without a GPU they are skipped.
test-gpu: $(INSTALLED)
	$(PYTEST) -m 'gpu and not slow' -rs

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/codespell mm_frelu tools tests configs docs *.md *.py *.toml Makefile
	$(PY) -m mypy

# Build the documentation: open site/index.html. Nothing is downloaded, and a warning is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

install: $(INSTALLED)

# Reinstall only when constraints.txt or pyproject.toml changes.
$(INSTALLED): constraints.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade-strategy only-if-needed -c constraints.txt -e '.[dev]'
# Compile the CPU loops of the activations now: a run that compiles them rounds differently from a run that finds them compiled.
# If Numba does not work, FReLU falls back to torch's operators.
	$(PY) -W ignore -m mm_frelu.ops.cpu || echo 'FReLU falls back to the operators of torch.'
	touch $@

# Measure the GPU numbers of docs/performance.md, as JSON: the activation alone, two whole networks, and the host's work.
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
