"""The fused funnel activation inside of torch: graphs, checkpoints, transforms, compiled graphs, whole networks."""

import copy
import pickle

import pytest
import torch
from devices import DEVICE, INTERPRETED, ON_A_GPU, RUNS_KERNELS
from fused_funnel_cases import (
    BRAIN,
    HALF,
    Case,
    Definition,
    Site,
    autocast,
    by_kernels,
    compare,
    inputs,
    random,
    results,
    without_zeros,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from mm_frelu import FReLU, ResNet
from mm_frelu.analysis.kept_for_backward import kept_bytes
from mm_frelu.ops.modules import read_row, read_spec

pytestmark = RUNS_KERNELS
SHORTCUT = Case((1, 2, 4, 4), ('batch', None))
LIVE = ('triton', "implementation='triton', from before the norm")


def test_two_runs_agree_to_the_last_bit():
    case = Case((2, 2, 2, 6), ('batch', 'batch'))
    compare(by_kernels(case), by_kernels(case), 0)


@pytest.mark.parametrize(
    'case',
    [
        Case((2, 3, 4, 4), ('batch', None), last=True),
        Case((2, 2, 4, 3), ('batch', 'batch'), light='sum'),
        Case((1, 2, 4, 5), ('fixed', None), windows='fixed', last=True, dtype=BRAIN),
        Case((2, 3, 2, 8)),
    ],
    ids=str,
)
def test_keeps_the_branches_and_numbers_per_channel(case):
    """Mean and variance for each norm, whose statistics are those of the batch."""
    site, features = Site(case), [x.requires_grad_() for x in inputs(case)]
    with autocast(case):
        kept = kept_bytes(site, *features)
    of_branches = sum(x.numel() * x.element_size() for x in features)
    norms = case.norms.count('batch')
    if case.windows == 'batch':
        norms += len(site.act.windows)
    assert of_branches <= kept <= of_branches + 4 * 2 * case.shape[1] * norms
    site.act.implementation = 'eager'
    with autocast(case):
        assert kept_bytes(site, *features) >= of_branches + 2 * of_branches / len(features)


@pytest.mark.parametrize('reentrant', [False, True])
def test_under_a_checkpoint(reentrant):
    expected = by_kernels(SHORTCUT)

    def wrap(site):
        return lambda *features: checkpoint(site, *features, use_reentrant=reentrant)

    found = by_kernels(SHORTCUT, wrap=wrap)
    for name in list(expected):
        if 'running' in name or 'batches' in name:  # moved twice, as torch's norms do it
            del expected[name], found[name]
    compare(found, expected, 0)


def test_copied_and_pickled():
    """Plans are kept outside of modules."""
    site = Site(SHORTCUT)
    site(*inputs(SHORTCUT))
    twin = pickle.loads(pickle.dumps(copy.deepcopy(site)))
    compare(by_kernels(SHORTCUT, twin), by_kernels(SHORTCUT, site), 0)


def test_several_forward_passes_before_backward():
    """A layer that is used twice, with feature maps of two sizes: gradients add up, statistics move twice."""
    case = Case((1, 2, 4, 4), ('batch',))
    other = case._replace(shape=(2, 2, 3, 5))
    site = Site(case)
    twin = Definition(case, site).site
    twin.act.implementation = 'eager'
    for layer, dtype in ((site, torch.float32), (twin, torch.float64)):
        ys = [
            layer(random(kind, seed).to(dtype)) for kind, seed in [(case, 3), (other, 4), (case, 5)]
        ]
        sum((y * y.detach().cos()).sum() for y in ys).backward()
    pairs = dict(site.named_parameters()), dict(twin.named_parameters())
    found, expected = ({f'{n}.grad': p.grad for n, p in part.items()} for part in pairs)
    found.update(site.named_buffers())
    expected.update(twin.named_buffers())
    compare(without_zeros(case, found), without_zeros(case, expected), 1e-4)


def test_backward_twice():
    site, features = Site(SHORTCUT), [x.requires_grad_() for x in inputs(SHORTCUT)]
    y, grad = site(*features), random(SHORTCUT, seed=1)
    first, second = (torch.autograd.grad(y, features, grad, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize('case', [SHORTCUT, Case((1, 2, 4, 4), ('fixed', 'fixed'))], ids=str)
def test_gradients_that_are_wanted(case):
    """Those of some tensors alone are the same, and nothing else gets one."""
    expected = by_kernels(case)
    names = [name for name, _ in Site(case).named_parameters()]
    for wanted in ([], ['branch 0'], ['branch 1', *names[1:]]):
        site, features = Site(case), inputs(case)
        leaves = {f'branch {k}': x for k, x in enumerate(features)}
        leaves.update(site.named_parameters())
        for name, leaf in leaves.items():
            leaf.requires_grad_(name in wanted)
        y = site(*features)
        assert y.requires_grad == bool(wanted)
        if not wanted:
            continue
        y.backward(random(case, seed=1))
        for name, leaf in leaves.items():
            assert (leaf.grad is not None) == (name in wanted), name
            if name in wanted:
                key = name if name.startswith('branch') else f'{name}.grad'
                assert torch.equal(leaf.grad, expected[key])


def test_input_that_is_changed_before_backward():
    site = Site(Case((1, 2, 4, 4)))
    x = random(Case((1, 2, 4, 4))).requires_grad_() * 1
    y = site(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        y.sum().backward()


def of_second_order(implementation):
    site, features = Site(SHORTCUT, implementation), [x.requires_grad_() for x in inputs(SHORTCUT)]
    y = site(*features).square().sum()
    grads = torch.autograd.grad(y, [*features, site.act.conv.weight], create_graph=True)
    sum(grad.square().sum() for grad in grads).backward()
    return {str(index): x.grad for index, x in enumerate(features)}


def test_second_derivative():
    """It is autograd's own; the first, which the kernels give, has to agree with what it differentiates."""
    compare(of_second_order('triton'), of_second_order('eager'), 1e-4)


def test_several_gradients_at_once():
    """As in a vectorised Jacobian."""
    site, features = Site(SHORTCUT), [x.requires_grad_() for x in inputs(SHORTCUT)]
    y = site(*features)
    grads = torch.stack([random(SHORTCUT, seed) for seed in (1, 2)])
    together = torch.autograd.grad(y, features, grads, is_grads_batched=True, retain_graph=True)
    for index, grad in enumerate(grads):
        alone = torch.autograd.grad(y, features, grad, retain_graph=True)
        for found, expected in zip(together, alone):
            torch.testing.assert_close(found[index], expected, rtol=1e-4, atol=1e-5)


# --- running statistics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('without', [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize('momentum', [None, 0.0, 0.3])
def test_running_statistics(momentum, without):
    """They move in each forward pass, with or without gradients."""
    case = Case((2, 2, 3, 3), ('batch', 'batch'))
    site, eager = Site(case), Site(case, 'eager')
    for layer in (site, eager):
        for norm in (layer.act.norm, *layer.norms):
            norm.momentum = momentum
        for seed in range(2):
            with without():
                layer(random(case, seed), random(case, seed + 5))
    assert site.act.norm.num_batches_tracked == 2
    found, expected = dict(site.named_buffers()), dict(eager.named_buffers())
    compare(found, expected, 1e-5)
    for name, buffer in found.items():
        # So that autograd notices where somebody has kept the values from before.
        assert buffer._version > 0, name


@pytest.mark.parametrize('without', [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize('inplace', [False, True])
def test_inference(inplace, without):
    """The same values; neither features nor statistics are touched."""
    case = Case((1, 2, 5, 4), ('fixed', None), windows='fixed')
    site, features = Site(case), inputs(case)
    expected = by_kernels(case)
    before = [x.clone() for x in features]
    site.act.inplace = inplace
    with without():
        y = site(*features)
    assert torch.equal(y, expected['y'])
    if not inplace:
        assert all(map(torch.equal, features, before))
    compare(dict(site.named_buffers()), {k: expected[k] for k, _ in site.named_buffers()}, 0)


def test_made_and_run_in_inference_mode():
    """Such tensors count no versions."""
    case = Case((2, 2, 3, 3), ('batch',))
    with torch.inference_mode():
        found, expected = (Site(case, name)(*inputs(case)) for name in ('triton', 'eager'))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_features_of_single_precision_under_autocast():
    """The result has their type, as with torch's operators, and the precision of the kernels."""
    case = Case((2, 2, 4, 4), ('batch', None))
    with torch.autocast(DEVICE, BRAIN):
        found = by_kernels(case)
    assert found['y'].dtype == torch.float32
    compare(without_zeros(case, found), without_zeros(case, Definition(case).results()), 2e-5)


# --- compiled graphs and GPUs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'case',
    [SHORTCUT, Case((1, 2, 4, 4), windows='fixed', light='max', last=True, dtype=BRAIN)],
    ids=str,
)
@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=ON_A_GPU)])
def test_compiles_without_a_break(backend, case):
    torch._dynamo.reset()

    def wrap(site):
        return torch.compile(site, fullgraph=True, backend=backend)

    compare(by_kernels(case, wrap=wrap), by_kernels(case), 1e-6)


def test_operators_of_compiled_graphs_return_what_they_declare():
    """Features of channels_last with gaps, which the kernels do not read, become NCHW."""
    windows = FReLU(2).to(DEVICE).windows
    x = random(Case((1, 4, 3, 4), last=True))[:, :2]
    row = [t if t is None else t.detach() for t in read_row([(x, None)], windows)]
    integers, floats = read_spec([(x, None)], windows, 'sum', x.dtype).numbers()
    tensors, present = [t for t in row if t is not None], [t is not None for t in row]
    arguments = tensors, present, 'triton', [0, *integers], floats
    fused = torch.ops.mm_frelu.fused.default
    torch.library.opcheck(fused, arguments, test_utils='test_faketensor')


@ON_A_GPU
@pytest.mark.parametrize('norms', [(None,), ('fixed', None), ('batch', 'batch')], ids=str)
def test_cuda_graph(norms):
    """A captured training step, run again with other features."""
    case = Case((2, 16, 8, 8), norms, dtype=BRAIN)
    site, twin = Site(case), Site(case)
    fixed, grad = [x.requires_grad_() for x in inputs(case)], random(case, seed=1)
    others = [random(case, seed=9 + k) for k in range(len(norms))]

    def step(site, features):
        with autocast(case):
            y = site(*features)
        return (y, *torch.autograd.grad(y, [*features, *site.parameters()], grad))

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step(site, fixed)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(site, fixed)
    with torch.no_grad():
        for x, other in zip(fixed, others):
            x.copy_(other)
    graph.replay()
    step(twin, inputs(case))
    expected = step(twin, [other.requires_grad_() for other in others])
    assert all(map(torch.equal, captured, expected))
    compare(dict(site.named_buffers()), dict(twin.named_buffers()), 0)


@ON_A_GPU
def test_on_another_device():
    """Than the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip('there is one CUDA device')
    expected = by_kernels(SHORTCUT)
    site = Site(SHORTCUT).to('cuda:1')
    features, grad = [x.to('cuda:1') for x in inputs(SHORTCUT)], random(SHORTCUT, 1).to('cuda:1')
    found = results(site, site, features, grad)
    assert found['y'].device.index == 1
    compare({name: value.cpu() for name, value in found.items()},
            {name: value.cpu() for name, value in expected.items()}, 0)  # fmt: skip


@ON_A_GPU
def test_on_another_stream():
    """Kernels start where torch's do."""
    case = Case((4, 64, 64, 64), ('batch',), dtype=HALF)
    expected, stream = by_kernels(case), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = by_kernels(case)
    stream.synchronize()
    compare(found, expected, 0)


# --- networks ----------------------------------------------------------------------------------------------------------


def sites_of(model):
    return [module for module in model.modules() if isinstance(module, FReLU)]


def network(**options):
    """A stage of two bottlenecks, one with a projection and one without, every number of it random."""
    torch.manual_seed(0)
    model = ResNet(
        50,
        base_channels=2,
        num_stages=1,
        strides=(1,),
        dilations=(1,),
        out_indices=(0,),
        act_stages=(0,),
        act_cfg=dict(type='FReLU', implementation='triton'),
        **options,
    )
    model.layer1 = model.layer1[:2]
    for name, values in model.state_dict().items():
        if name.endswith(('weight', 'var')) and values.dim() == 1:
            values.uniform_(0.5, 1.5)
        elif name.endswith(('bias', 'mean')):
            values.normal_()
    return model.train().to(DEVICE)


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        pytest.param(dict(with_cp=True), marks=pytest.mark.slow),
        pytest.param(dict(norm_eval=True), marks=pytest.mark.slow),
    ],
    ids=['train', 'with_cp', 'eval'],
)
def test_network_equals_eager(options, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    model = network(**options)
    eager = copy.deepcopy(model).double()
    for layer in sites_of(eager):
        layer.implementation = 'eager'
    x = random(Case((2, 3, 16, 12)))
    found = []
    for each, own in ((model, x), (eager, x.double())):
        (y,) = each(own)
        y.square().mean().backward()
        tensors = {f'{name}.grad': p.grad for name, p in each.named_parameters()}
        found.append(dict(tensors, y=y.detach(), **dict(each.named_buffers())))
    assert {layer.live for layer in sites_of(model)} == {LIVE}
    compare(*found, 1e-4)


@ON_A_GPU
def test_network_keeps_what_relu_keeps():
    """A whole ResNet-50: beyond that, a few numbers for each channel of a site."""
    x = torch.randn(1, 3, 256, 512, device=DEVICE)

    def kept(**act_cfg):
        return kept_bytes(ResNet(50, act_cfg=act_cfg).train().to(DEVICE), x)

    assert kept(type='FReLU', implementation='triton') < 1.02 * kept(type='ReLU')


@pytest.mark.skipif(not INTERPRETED, reason='auto takes Numba on a CPU')
def test_auto_leaves_the_interpreter_alone():
    layer = FReLU(2)
    layer(random(Case((1, 2, 3, 3))))
    assert layer.live.name != 'triton'


@ON_A_GPU
@pytest.mark.parametrize('norm', [None, nn.BatchNorm2d])
def test_auto_takes_the_kernels(norm):
    layer = FReLU(2).to(DEVICE)
    layer.after_norms([(random(Case((1, 2, 3, 3))), norm and norm(2).to(DEVICE))])
    assert layer.live.name == 'triton'
