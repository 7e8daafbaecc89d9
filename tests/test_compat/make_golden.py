"""Write tests/data/mmcv_compiled_ops.npz: results of mmcv's own compiled code, for machines that have none.

Run it where mmcv has its compiled ops, and g++::

    python tests/test_compat/make_golden.py tests/data/mmcv_compiled_ops.npz

NMS, soft NMS and RoIAlign come from ``mmcv._ext`` on the CPU. The focal losses exist for GPUs only, so their kernels
(mmcv/ops/csrc/common/cuda/*focal_loss_cuda_kernel.cuh) are compiled as ordinary C++, each thread a turn of a loop.
Inputs are stored too: random numbers may change with torch. Nothing of mm_frelu takes part.
"""

import ctypes
import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mmcv
import numpy as np
import torch
from op_cases import compiled_ops, degenerate_boxes, random_boxes

# What the kernels need of CUDA, with the file name that they include.
SHIM = """
#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#define __global__
#define CUDA_1D_KERNEL_LOOP(i, n) for (int i = 0; i < (n); ++i)
using std::max; using std::pow; using std::log;
"""
LIBRARY = """
#include "sigmoid_focal_loss_cuda_kernel.cuh"
#include "softmax_focal_loss_cuda_kernel.cuh"
#define ARGS int n, int c, const float* x, const int64_t* t, const float* w, float* out, float gamma, float alpha
extern "C" void sigmoid_forward(ARGS) {
  sigmoid_focal_loss_forward_cuda_kernel<float>(n * c, x, t, w, out, gamma, alpha, c);
}
extern "C" void sigmoid_backward(ARGS) {
  sigmoid_focal_loss_backward_cuda_kernel<float>(n * c, x, t, w, out, gamma, alpha, c);
}
extern "C" void softmax_forward(ARGS) {
  softmax_focal_loss_forward_cuda_kernel<float>(n, x, t, w, out, gamma, alpha, c);
}
extern "C" void softmax_backward(ARGS, float* buff) {
  softmax_focal_loss_backward_cuda1_kernel<float>(n, x, t, w, buff, gamma, alpha, c);
  softmax_focal_loss_backward_cuda2_kernel<float>(n * c, x, t, buff, out, c);
}
"""


def build_focal_kernels(folder: Path) -> ctypes.CDLL:
    """Compile mmcv's focal loss kernels for the CPU."""
    source = Path(mmcv.__file__).parent / 'ops/csrc/common/cuda'
    for name in ('sigmoid', 'softmax'):
        shutil.copy(source / f'{name}_focal_loss_cuda_kernel.cuh', folder)
    (folder / 'pytorch_cuda_helper.hpp').write_text(SHIM)
    (folder / 'focal.cpp').write_text(LIBRARY)
    subprocess.run(
        ['g++', '-O1', '-shared', '-fPIC', '-o', 'focal.so', 'focal.cpp'], cwd=folder, check=True
    )
    return ctypes.CDLL(str(folder / 'focal.so'))


def focal_golden(library: ctypes.CDLL) -> dict:
    """Losses and gradients of both forms, with and without weights."""
    rng = np.random.default_rng(0)
    golden = {}
    num, classes = 40, 6
    logits = rng.normal(0, 4, (num, classes)).astype(np.float32).clip(-9, 9)
    weight = rng.uniform(0.5, 2, classes).astype(np.float32)
    exp = np.exp(logits - logits.max(1, keepdims=True))
    softmax = (exp / exp.sum(1, keepdims=True)).astype(np.float32)
    for form, values in (('sigmoid', logits), ('softmax', softmax)):
        for weighted in (False, True):
            # With weights the kernels read weight[target], which background does not have.
            background = form == 'sigmoid' and not weighted
            target = rng.integers(0, classes + background, num)
            for gamma, alpha in ((2.0, 0.25), (1.5, 0.6)):
                forward = np.zeros((num, classes) if form == 'sigmoid' else num, np.float32)
                backward, buff = np.zeros((num, classes), np.float32), np.zeros(num, np.float32)
                common = [num, classes, pointer(values), pointer(target)]
                common.append(pointer(weight) if weighted else None)
                numbers = [ctypes.c_float(gamma), ctypes.c_float(alpha)]
                getattr(library, f'{form}_forward')(*common, pointer(forward), *numbers)
                extra = [pointer(buff)] if form == 'softmax' else []
                getattr(library, f'{form}_backward')(*common, pointer(backward), *numbers, *extra)
                key = f'{form}-{gamma}-{alpha}-{"weighted" if weighted else "plain"}'
                golden[f'{key}/input'], golden[f'{key}/target'] = values, target
                golden[f'{key}/weight'] = weight if weighted else weight[:0]
                golden[f'{key}/loss'], golden[f'{key}/grad'] = forward, backward
    return golden


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Address of an array's data."""
    return ctypes.c_void_p(array.ctypes.data)


def box_golden(ops) -> dict:
    """Kept boxes of NMS and soft NMS; scores are all different, for ties depend on the machine's sort."""
    golden = {}
    generator = torch.Generator().manual_seed(0)
    cases = {'random': random_boxes(300, generator), 'degenerate': degenerate_boxes()}
    for name, boxes in cases.items():
        scores = torch.randperm(len(boxes), generator=generator).float().add(1) / len(boxes)
        golden[f'{name}/boxes'], golden[f'{name}/scores'] = boxes, scores
        for offset in (0, 1):
            for threshold in (0.0, 0.3, 0.5, 1.0):
                golden[f'{name}/nms-{threshold}-{offset}'] = ops.nms(
                    boxes, scores, threshold, offset
                )
        for method in (0, 1, 2):
            dets = torch.zeros(len(boxes), 5)
            keep = ops.softnms(boxes, scores, dets, 0.3, 0.5, 0.05, method, 0)
            golden[f'{name}/softnms-{method}'] = keep
            golden[f'{name}/softnms-{method}-scores'] = dets[: len(keep), 4]
    return golden


def roi_golden(ops) -> dict:
    """RoIAlign forward and backward, with RoIs that reach over the edges."""
    golden = {}
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 3, 10, 12, generator=generator)
    rois = random_boxes(8, generator, extent=96, longest=80) - 16
    rois = torch.cat((torch.arange(8).float()[:, None] % 2, rois), dim=1)
    grad = torch.randn(8, 3, 3, 2, generator=generator)
    golden.update({'roi/features': features, 'roi/rois': rois, 'roi/grad': grad})
    empty = torch.zeros(0)
    for ratio in (0, 2):
        for aligned in (False, True):
            output, back = torch.zeros(8, 3, 3, 2), torch.zeros_like(features)
            options = dict(zip(('aligned_height', 'aligned_width', 'spatial_scale'), (3, 2, 0.125)))
            options.update(sampling_ratio=ratio, pool_mode=1, aligned=aligned)
            ops.roi_align_forward(features, rois, output, empty, empty, **options)
            ops.roi_align_backward(grad, rois, empty, empty, back, **options)
            golden[f'roi/{ratio}-{aligned}/output'] = output
            golden[f'roi/{ratio}-{aligned}/grad_input'] = back
    return golden


def main(path: str) -> None:
    """Write the file."""
    importlib.import_module('mmcv.ops')
    ops = compiled_ops()
    if ops is None:
        raise SystemExit('mmcv has no compiled ops here: there is nothing to record.')
    with tempfile.TemporaryDirectory() as folder:
        golden = focal_golden(build_focal_kernels(Path(folder)))
    golden.update(box_golden(ops))
    golden.update(roi_golden(ops))
    np.savez_compressed(path, **{key: np.asarray(value) for key, value in golden.items()})
    print(f'{path}: {len(golden)} arrays, {Path(path).stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main(*sys.argv[1:])
