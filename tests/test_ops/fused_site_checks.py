"""A site by the fused kernels, from before the norm, against its definition; run by test_fused.py."""

import copy
from typing import Dict, List, Tuple

import pytest
import torch
from fused_cases import DEVICE, TOLERANCE, Case, compare, drop_conv_biases, features
from fused_site_cases import Site, SiteCase, by_definition, inputs, results
from torch import Tensor, nn

from mm_frelu import FReLU, ResNet
from mm_frelu.analysis.kept_for_backward import kept_bytes

LIVE = ('triton', "implementation='triton', from before the norm")


def by_kernels(case: SiteCase, wrap=lambda site: site) -> Tuple[Site, Dict[str, Tensor]]:
    """A site, and what the kernels give."""
    site = Site(case)
    with torch.autocast(DEVICE, case.dtype, enabled=case.dtype != torch.float32):
        found = results(wrap(site), site, inputs(case), features(case.layer(), seed=1))
    return site, found


def check(case: SiteCase) -> None:
    (site, found), expected = by_kernels(case), by_definition(case)
    assert site.act.live == LIVE
    x = features(case.layer())
    for name in ('y', *(f'term {index}' for index in range(len(case.norms)))):
        assert found[name].dtype == case.dtype
        assert found[name].stride() == x.stride()
    if case.windows == 'batch':
        drop_conv_biases(found, expected)
    compare(found, expected, TOLERANCE[case.dtype])


QUICK = [
    SiteCase((2, 3, 5, 4)),
    SiteCase((2, 3, 4, 4), norms=('batch', None), channels_last=True),
    SiteCase((2, 2, 4, 3), norms=('batch', 'batch'), light='sum'),
    # norm_eval, with windows that learn from the batch and with windows that do not
    SiteCase((1, 3, 4, 5), norms=('fixed', None)),
    SiteCase((2, 2, 3, 4), norms=('fixed', 'fixed'), windows='fixed', light='max'),
    SiteCase((2, 3, 4, 4), norms=('batch', 'batch'), dtype=torch.bfloat16),
    SiteCase(
        (1, 2, 4, 5),
        norms=('fixed', None),
        windows='fixed',
        channels_last=True,
        dtype=torch.bfloat16,
    ),
    # after switch_to_deploy
    SiteCase((1, 2, 4, 4), norms=('fixed',), windows='none'),
]
"""In training, with norms in inference mode, and mixed."""


def grid(shape: Tuple[int, int, int, int]) -> List[SiteCase]:
    """All combinations."""
    return [
        SiteCase(shape, norms, windows, light, last, dtype)
        for norms in [('batch',), ('batch', None), ('batch', 'batch'), ('fixed', 'fixed')]
        for windows in ('batch', 'fixed')
        for light in (None, 'sum', 'max')
        for last in (False, True)
        for dtype in (torch.float32, torch.bfloat16)
    ]


@pytest.fixture(autouse=True)
def _no_tf32(monkeypatch):
    """A GPU's convolutions round like its multiplications of single precision, which is what is compared."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.mark.parametrize('case', QUICK, ids=str)
def test_equal_to_the_definition(case):
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize('case', grid((2, 5, 9, 7)), ids=str)
def test_equal_to_the_definition_over_a_grid(case):
    check(case)


@pytest.mark.gpu
@pytest.mark.parametrize('shape', [(4, 256, 128, 256), (2, 512, 25, 167)], ids=str)
def test_equal_to_the_definition_at_real_sizes(shape):
    for case in grid(shape):
        check(case)


@pytest.mark.parametrize('case', [QUICK[1], QUICK[2], QUICK[6]], ids=str)
def test_keeps_the_terms_and_numbers_per_channel(case):
    """Three for each norm, whose statistics are those of the batch: mean, and both variances in one piece of memory."""
    site, terms = Site(case), [term.requires_grad_() for term in inputs(case)]
    with torch.autocast(DEVICE, case.dtype, enabled=case.dtype != torch.float32):
        kept = kept_bytes(site, *terms)
    of_terms = sum(term.numel() * term.element_size() for term in terms)
    measured = case.norms.count('batch')
    if case.windows == 'batch':
        measured += len(site.act.windows)
    assert of_terms <= kept <= of_terms + 4 * 3 * case.shape[1] * measured
    site.act.implementation = 'eager'
    with torch.autocast(DEVICE, case.dtype, enabled=case.dtype != torch.float32):
        assert kept_bytes(site, *terms) >= of_terms + 2 * of_terms / len(terms)


def test_second_derivative():
    """It is autograd's own; the first, which the kernels give, has to agree with what it differentiates."""
    case = SiteCase((1, 2, 4, 4), norms=('batch', None))
    found = []
    for implementation in ('triton', 'eager'):
        site, terms = Site(case), [term.requires_grad_() for term in inputs(case)]
        site.act.implementation = implementation
        y = site(*terms).square().sum()
        grads = torch.autograd.grad(y, [*terms, site.act.conv.weight], create_graph=True)
        sum(grad.square().sum() for grad in grads).backward()
        found.append({str(index): term.grad for index, term in enumerate(terms)})
    compare(*found, 1e-4)


@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=pytest.mark.gpu)])
def test_compiles_without_a_break(backend):
    case = SiteCase((1, 2, 4, 4), norms=('batch', None))
    torch._dynamo.reset()

    def wrap(site):
        return torch.compile(site, fullgraph=True, backend=backend)

    compare(by_kernels(case, wrap)[1], by_kernels(case)[1], 1e-6)


def test_what_is_no_batch_norm_comes_before_the_kernels():
    case = SiteCase((1, 4, 4, 4))
    site, twin = Site(case), Site(case)
    site.norms[0] = twin.norms[0] = nn.GroupNorm(2, 4).to(DEVICE)
    twin.act.implementation = 'eager'
    terms = inputs(case)
    torch.testing.assert_close(site(*terms), twin(*terms))
    assert site.act.live == ('triton', "implementation='triton'")


@pytest.mark.parametrize(
    'options', [dict(), dict(with_cp=True), dict(norm_eval=True)], ids=['train', 'with_cp', 'eval']
)
def test_network_equals_eager(options):
    model = network(**options)
    eager = copy.deepcopy(model).double()
    for layer in sites_of(eager):
        layer.implementation = 'eager'
    x = features(Case((2, 3, 16, 12)))
    found = []
    for each, own in ((model, x), (eager, x.double())):
        (y,) = each(own)
        y.square().mean().backward()
        tensors = {f'{name}.grad': p.grad for name, p in each.named_parameters()}
        found.append(dict(tensors, y=y.detach(), **dict(each.named_buffers())))
    assert {layer.live for layer in sites_of(model)} == {LIVE}
    compare(*found, 1e-4)


@pytest.mark.gpu
def test_keeps_what_relu_keeps():
    """A whole ResNet-50: beyond that, a few numbers for each channel of a site."""
    x = torch.randn(1, 3, 256, 512, device=DEVICE)

    def kept(**act_cfg):
        return kept_bytes(ResNet(50, act_cfg=act_cfg).train().to(DEVICE), x)

    assert kept(type='FReLU', implementation='triton') < 1.02 * kept(type='ReLU')


def sites_of(model: nn.Module) -> List[FReLU]:
    return [module for module in model.modules() if isinstance(module, FReLU)]


def network(**options) -> nn.Module:
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
