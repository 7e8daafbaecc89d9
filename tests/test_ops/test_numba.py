"""Compiled loops on CPUs: norms before them, what they leave alone, what they refuse. Values alone: test_recompute.py."""

import copy
import multiprocessing
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from funnel_cases import LAYERS, as_eager, assert_equal_to_eager, build
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from mm_frelu import DyReLUB, FReLU
from mm_frelu.ops import dispatch

event = pytest.importorskip('numba.core.event', reason='Numba is not installed')

from mm_frelu.ops.cpu import backend, kernels  # noqa: E402

pytestmark = pytest.mark.xdist_group('numba')


def norm_of_branch(kind, channels, training):
    if kind == 'none':
        return None
    norm = nn.BatchNorm2d(channels, affine=kind != 'without scale').double()
    for parameter in norm.parameters():
        parameter.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 1.5)
    return norm.train(training and kind != 'frozen')


def results_with_norms(layer, norms, inputs, weights):
    """Output, all gradients and all running statistics of a layer with norms before it."""
    leaves = [u.clone().requires_grad_() for u in inputs]
    out = layer.after_norms(list(zip(leaves, norms)))
    (out * weights).sum().backward()
    named = {'output': out.detach()}
    named.update((f'branch {index}', leaf.grad) for index, leaf in enumerate(leaves))
    for name, module in (('layer', layer), *((f'norm {i}', norm) for i, norm in enumerate(norms))):
        if module is not None:
            named.update((f'{name} {key}', p.grad) for key, p in module.named_parameters())
            named.update((f'{name} {key}', b) for key, b in module.named_buffers())
    return named


@pytest.mark.parametrize('layer', LAYERS)
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    'kinds',
    [('plain',), ('frozen',), ('plain', 'none'), ('plain', 'plain'), ('without scale', 'frozen')],
)
@pytest.mark.parametrize('shape', [(2, 5, 7, 6), (1, 9, 1, 5)])
def test_with_norms_equals_eager(layer, training, kinds, shape):
    torch.manual_seed(0)
    layer = build(layer, 'BN', shape[1], training, implementation='numba')
    norms = [norm_of_branch(kind, shape[1], training) for kind in kinds]
    reference = as_eager(layer), copy.deepcopy(norms)
    inputs = [torch.randn(shape, dtype=torch.float64) for _ in kinds]
    weights = torch.randn(shape, dtype=torch.float64)
    before = copy.deepcopy(inputs)
    found = results_with_norms(layer, norms, inputs, weights)
    assert layer.live.reason.endswith('from before the norm')
    assert all(torch.equal(u, old) for u, old in zip(inputs, before))
    for name, value in results_with_norms(*reference, inputs, weights).items():
        assert_close(
            found[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}'
        )


@pytest.mark.parametrize('size', [1, 3, 5, 7, 9])
@pytest.mark.parametrize('dilation', [1, 3])
def test_sizes_and_dilations(size, dilation):
    torch.manual_seed(0)
    layer = FReLU(4, kernel_size=size, dilation=dilation, implementation='numba').double()
    assert_equal_to_eager(layer, torch.randn(2, 4, 6, 9).double(), rtol=1e-8, atol=1e-9)


def test_even_sizes():
    """An even window keeps the shape of its input if its dilation is even."""
    torch.manual_seed(0)
    layer = FReLU(4, norm_cfg=None, implementation='numba').double()
    layer.conv = nn.Conv2d(4, 4, (2, 4), padding=(1, 3), dilation=2, groups=4).double()
    assert_equal_to_eager(layer, torch.randn(2, 4, 6, 9).double(), rtol=1e-8, atol=1e-9)


def test_two_branches_without_norm_share_their_gradient():
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 4, True, implementation='numba')
    inputs = [torch.randn(2, 4, 6, 5, dtype=torch.float64) for _ in range(2)]
    weights = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    reference = as_eager(layer)
    found = results_with_norms(layer, [None, None], inputs, weights)
    assert layer.live.name == 'numba'
    for name, value in results_with_norms(reference, [None, None], inputs, weights).items():
        assert_close(found[name], value, msg=lambda m, name=name: f'{name}: {m}')


def test_a_plane_of_many_pieces():
    """Gradients of the taps are summed piece by piece."""
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 2, True, torch.float32, 'numba')
    assert_equal_to_eager(layer, torch.randn(1, 2, 90, 120), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_values_that_are_no_numbers_spread_as_in_eager(value):
    layer = build('LightFReLU max', 'no norm', 2, False, implementation='numba')
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    x[0, 0, 2, 3] = value
    assert_close(layer(x), as_eager(layer)(x), equal_nan=True)


def test_any_strides():
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 4, True, implementation='numba')
    wide = torch.randn(2, 8, 6, 10, dtype=torch.float64)
    x = wide[:, ::2, :, ::2].requires_grad_()
    kept = wide.clone()
    out = layer(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)  # an expanded gradient
    reference = as_eager(layer)
    assert_close(out, reference(x.contiguous()))
    assert_close(gradient, torch.autograd.grad(reference(x).sum(), x)[0])
    assert torch.equal(wide, kept)


def test_threads_change_nothing():
    torch.manual_seed(0)
    layer = build('FReLU', 'BN', 6, True, torch.float32, 'numba')
    x, threads, outs = torch.randn(2, 6, 20, 20), torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            leaf = x.clone().requires_grad_()
            out = layer(leaf)
            out.square().sum().backward()
            assert torch.get_num_threads() == number
            outs.append((out, leaf.grad))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for pair in zip(*outs))


def test_torch_keeps_its_number_of_threads():
    """Numba starts as many threads as there are cores, by the OpenMP that torch uses too."""
    code = (
        'import torch; torch.set_num_threads(1); from mm_frelu import FReLU; '
        "FReLU(2, implementation='numba')(torch.rand(1, 2, 4, 4)); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == '1'


def ahead(**variables):
    """What is printed by the command that compiles the kernels."""
    command = [sys.executable, '-m', 'mm_frelu.ops.cpu']
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_kernels_are_compiled_ahead(tmp_path):
    for words in ('Compiled the CPU kernels: ', 'The CPU kernels are there: '):
        # What layers are to be computed by does not concern the command.
        done = ahead(NUMBA_CACHE_DIR=str(tmp_path), MM_FRELU_IMPLEMENTATION='eager')
        last = done.stdout.splitlines()[-1]
        assert last.startswith(words + str(tmp_path))


def test_compiling_ahead_says_why_it_cannot():
    done = ahead(NUMBA_DISABLE_JIT='1')
    assert done.returncode == 1
    assert 'The CPU kernels cannot be compiled: NUMBA_DISABLE_JIT is set.' in done.stderr


def test_compiling_is_said_before_and_after(monkeypatch):
    """Not of what is found in the cache, and not of the functions inside of a kernel."""
    backend._kernels()
    said, signature = [], kernels.forward.signatures[0]
    monkeypatch.setattr(backend, 'print_log', lambda message, **_: said.append(message))
    for kernel in (kernels.forward, kernels._window):
        data = dict(dispatcher=kernel, args=signature, return_type=None)
        event.start_event('numba:compile', data)
        assert len(said) == 1
        if kernel is kernels.forward:
            event.end_event('numba:compile', data)
            assert 'Compiled the CPU kernel of the funnel activation (forward)' in said.pop()
    (before,) = said
    assert re.search(r'Compiling .*forward, float(32|64).*up to two minutes.*once', before)


def test_little_workspace_is_kept(monkeypatch):
    monkeypatch.setattr(backend, '_kept', {})
    single = np.dtype(np.float32)
    small = backend._workspace(single, 2, 10)
    assert np.shares_memory(backend._workspace(single, 1, 15), small)
    monkeypatch.setattr(backend, 'MAX_KEPT', 100)
    assert backend._workspace(single, 2, 20).shape == (2, 20)
    assert backend._kept[single].nbytes == small.nbytes


@pytest.fixture
def x():
    return torch.randn(2, 8, 5, 5)


def far_window(layer):
    layer.conv = nn.Conv2d(8, 8, 3, padding=40, dilation=40, groups=8)


@pytest.mark.parametrize(
    ('change', 'of_x', 'reason'),
    [
        (None, lambda x: x.to(memory_format=torch.channels_last), 'channels_last'),
        (lambda layer: layer.bfloat16(), lambda x: x.bfloat16(), 'torch.bfloat16'),
        (far_window, None, 'a window reaches 40 pixels beyond features of 5x5'),
    ],
)
def test_what_it_refuses(change, of_x, reason, x):
    layer = FReLU(8, norm_cfg=None)
    if change:
        change(layer)
    x = of_x(x) if of_x else x
    assert_close(layer(x), as_eager(layer)(x))
    assert layer.live.name == 'recompute'
    assert reason in layer.live.reason
    layer.implementation = 'numba'
    with pytest.raises(RuntimeError, match=f"implementation='numba' does not support .*{reason}"):
        layer(x)


@pytest.mark.parametrize(
    ('variable', 'value', 'reason'),
    [
        ('NUMBA_DISABLE_JIT', '1', 'NUMBA_DISABLE_JIT is set'),
        ('NUMBA_THREADING_LAYER', 'none such', 'numba does not work here'),
    ],
)
def test_settings_of_numbas_that_do_not_serve(variable, value, reason):
    code = 'import torch; from mm_frelu import FReLU; x = FReLU(2); x(torch.rand(1, 2, 4, 4)); print(x)'
    environment = {**os.environ, variable: value}
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment
    )
    assert f"live=recompute (implementation='auto'; not numba: {reason}" in done.stdout


def test_what_looks_at_every_operator_sees_the_definition(x):
    """A graph recorded without the loops would give memory that nothing was written to."""
    layer = FReLU(8).eval()
    with torch.no_grad():
        graph = make_fx(layer)(x)
        assert_close(graph(x + 1), layer(x + 1))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(layer(x), FakeTensor)


def test_a_default_device_does_not_concern_the_workspace(x):
    backend._kept.clear()
    layer = FReLU(8, implementation='numba')
    with torch.device('meta'):
        out = layer(x)
    assert_close(out, as_eager(layer)(x))


def test_negated_memory(x):
    layer = FReLU(8, implementation='numba').eval()
    assert_close(layer(torch._neg_view(x)), layer(-x))


@torch.no_grad()
def test_in_place(x):
    """As ReLU's: the result is in the input's memory, of which autograd hears."""
    layer = FReLU(8, implementation='numba', inplace=True)
    reference, before = as_eager(layer), x.clone()
    version = x._version
    out = layer(x)
    assert out.data_ptr() == x.data_ptr()
    assert x._version > version
    assert_close(out, reference(before))
    for ours, expected in zip(layer.buffers(), reference.buffers()):
        assert_close(ours, expected)


@torch.inference_mode()
def test_in_place_in_inference_mode():
    layer, u = FReLU(8, implementation='numba', inplace=True).eval(), torch.randn(2, 8, 5, 5)
    expected = as_eager(layer)(u.clone())
    out = layer(u)
    assert out.data_ptr() == u.data_ptr()
    assert_close(out, expected)


def in_inference_mode():
    with torch.inference_mode():
        return torch.randn(2, 8, 5, 5)


IN_PLACE_IN_VAIN = {
    'of another sign': lambda: torch._neg_view(torch.randn(2, 8, 5, 5)),
    'with gaps': lambda: torch.randn(2, 8, 5, 10)[..., :5],
    'one image for all': lambda: torch.randn(1, 8, 5, 5).expand(3, -1, -1, -1),
    'of inference mode': in_inference_mode,
}


@pytest.mark.parametrize('case', IN_PLACE_IN_VAIN)
@torch.no_grad()
def test_memory_that_cannot_be_taken(case):
    layer = FReLU(8, implementation='numba', inplace=True).eval()
    u = IN_PLACE_IN_VAIN[case]()
    before = u.clone()
    assert_close(layer(u), as_eager(layer)(before))
    assert torch.equal(u, before)


@torch.no_grad()
def test_no_memory_is_taken_that_another_branch_reads():
    layer = FReLU(8, implementation='numba', inplace=True).eval()
    u = torch.randn(1, 16, 5, 5)
    before = u.clone()
    branches = [(u[:, :8], None), (u[:, 4:12], None)]
    assert_close(layer.after_norms(branches), as_eager(layer)(before[:, :8] + before[:, 4:12]))
    assert torch.equal(u, before)


@torch.no_grad()
def test_no_memory_is_taken_before_a_norm(x):
    """What is activated in place is the norm's output; who has seen what goes into the norm may go on looking at it."""
    layer = FReLU(8, implementation='numba', inplace=True)
    before = x.clone()
    layer.after_norms([(x, nn.BatchNorm2d(8))])
    assert layer.live.name == 'numba'
    assert torch.equal(x, before)


def test_no_memory_is_taken_that_backward_needs(x):
    layer = FReLU(8, implementation='numba', inplace=True)
    leaf, before = x.requires_grad_(), x.detach().clone()
    layer(leaf).sum().backward()
    assert torch.equal(leaf, before)


def test_a_constant_channel_and_no_epsilon(x):
    layer = build('FReLU', 'BN', 8, False, torch.float32, 'numba')
    layer.norm.eps = 0.0
    layer.norm.running_var[1] = 0
    # Of that channel torch makes NaN or infinity, by the order of its operations.
    others = [0, *range(2, 8)]
    assert_close(layer(x)[:, others], as_eager(layer)(x)[:, others])


def test_autocast_is_left_to_torch(x):
    layer = FReLU(8)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        layer(x)
    assert layer.live.name == 'recompute'
    assert 'autocast uses torch.bfloat16' in layer.live.reason


@pytest.fixture
def anew():
    """Whether Numba works is found out anew, before and after."""

    def forget():
        backend._unloadable_reason.cache_clear()
        dispatch._selected.clear()

    forget()
    yield
    forget()


@pytest.mark.usefixtures('anew')
def test_without_numba(x, monkeypatch):
    monkeypatch.setattr(backend, 'find_spec', lambda name: None)
    layer = FReLU(8)
    layer(x)
    assert layer.live == (
        'recompute',
        "implementation='auto'; not numba: numba is not installed",
    )


@pytest.mark.usefixtures('anew')
def test_with_a_broken_numba(x, monkeypatch):
    def broken():
        raise ImportError('no llvmlite')

    monkeypatch.setattr(backend, '_kernels', broken)
    layer = FReLU(8)
    layer(x)
    assert 'numba does not work here (ImportError: no llvmlite)' in layer.live.reason


def _in_a_fork(queue, layer, x, out):
    # As in a DataLoader's worker: torch too would wait for OpenMP's threads for ever.
    torch.set_num_threads(1)
    with pytest.raises(RuntimeError, match='cannot run with the CPU kernels after a fork'):
        out.backward()
    layer(x)
    queue.put(layer.live)


def test_a_forked_process_does_without():
    """A fork has none of OpenMP's threads, and Numba would end a process that asks for them."""
    layer, x = FReLU(2), torch.rand(1, 2, 4, 4)
    out = layer(x).sum()
    assert layer.live.name == 'numba'
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    child = context.Process(target=_in_a_fork, args=(queue, layer, x, out))
    child.start()
    name, reason = queue.get(timeout=60)
    assert name == 'recompute'
    assert 'not numba: this is a forked process' in reason
    child.join()


@pytest.mark.whole_graph
def test_compiled_graphs_do_without(x):
    layer = FReLU(8).eval()
    torch._dynamo.reset()
    assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), layer(x))


def test_dynamic_relu_has_no_loops_of_its_own(x):
    with pytest.raises(RuntimeError, match='there are no compiled loops for it'):
        DyReLUB(8, implementation='numba')(x)
