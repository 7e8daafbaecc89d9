"""Focal losses against recorded results of mmcv's kernels, mmdet's Python form, and finite differences."""

import pytest
import torch
import torch.nn.functional as F
from op_cases import golden

from mm_frelu.compat import focal_loss

FORMS = ['sigmoid', 'softmax']


def py_focal_loss(logits, target, gamma, alpha):
    """mmdet's Python form, with background as the class behind the last."""
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    one_hot = F.one_hot(target, logits.size(1) + 1)[:, :-1]
    return py_sigmoid_focal_loss(logits, one_hot, gamma=gamma, alpha=alpha, reduction='none')


@pytest.mark.parametrize('weighted', ['plain', 'weighted'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.6)])
@pytest.mark.parametrize('form', FORMS)
def test_equals_recorded_kernels(form, gamma, alpha, weighted):
    key = f'{form}-{gamma}-{alpha}-{weighted}/'
    given = {name[len(key) :]: value for name, value in golden().items() if name.startswith(key)}
    inputs = given['input'], given['target'], given['weight']
    loss, grad = (
        torch.full_like(given['loss'], torch.nan),
        torch.full_like(given['grad'], torch.nan),
    )
    buff = [torch.empty(len(grad))] if form == 'softmax' else []
    getattr(focal_loss, f'{form}_focal_loss_forward')(*inputs, loss, gamma=gamma, alpha=alpha)
    getattr(focal_loss, f'{form}_focal_loss_backward')(
        *inputs, *buff, grad, gamma=gamma, alpha=alpha
    )
    # The kernels take log(1 - p) of a rounded p: at a logit of 9 that costs 2 to 3 digits.
    torch.testing.assert_close(loss, given['loss'], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(grad, given['grad'], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('scale', [1, 10, 1000])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.9), (0.0, 0.5)])
def test_value_and_gradient_equal_mmdets_python_form(mmcv_ops, gamma, alpha, dtype, scale):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(60, 7, generator=generator, dtype=dtype) * scale).requires_grad_()
    target = torch.randint(0, 8, (60,), generator=generator)  # 7 is background
    outer = torch.rand(60, 7, generator=generator, dtype=dtype)

    loss = mmcv_ops.sigmoid_focal_loss(logits, target, gamma, alpha, None, 'none')
    (grad,) = torch.autograd.grad((loss * outer).sum(), logits)
    expected = py_focal_loss(logits, target, gamma, alpha)
    (expected_grad,) = torch.autograd.grad((expected * outer).sum(), logits)

    assert loss.isfinite().all()
    assert grad.isfinite().all()
    # Where mmdet's form takes 1 - p of a p next to 1 it has few digits left in float32.
    tolerance = (
        dict(rtol=1e-10, atol=1e-9) if dtype == torch.float64 else dict(rtol=1e-3, atol=1e-5)
    )
    torch.testing.assert_close(loss, expected, **tolerance)
    torch.testing.assert_close(grad, expected_grad, **tolerance)


def test_loss_of_a_confident_mistake_is_its_logit(mmcv_ops):
    # -log p of a logit of -200 is 200 up to e^-200, also in float32, where p itself is 0.
    logits = torch.tensor([[-200.0, 200.0]])
    loss = mmcv_ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[0.25 * 200, 0.75 * 200]]))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('weighted', [False, True])
def test_gradcheck(mmcv_ops, form, weighted):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 5, generator=generator, dtype=torch.float64).mul(4).requires_grad_()
    target = torch.randint(0, 5 + (form == 'sigmoid'), (12,), generator=generator)
    weight = torch.rand(5, generator=generator, dtype=torch.float64) + 0.5 if weighted else None
    # 'sum': mmcv's softmax form multiplies an (N,) gradient into (N, C) rows with reduction='none'.
    loss = getattr(mmcv_ops, f'{form}_focal_loss')
    assert torch.autograd.gradcheck(lambda x: loss(x, target, 1.7, 0.3, weight, 'sum'), logits)


def test_weight_scales_the_rows_of_its_class_and_leaves_background(mmcv_ops):
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 2, 3, 1, 0])
    weight = torch.tensor([2.0, 3.0, 5.0])
    plain = mmcv_ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    weighted = mmcv_ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, weight, 'none')
    factor = torch.tensor([2.0, 3.0, 5.0, 1.0, 3.0, 2.0])
    torch.testing.assert_close(weighted, plain * factor[:, None])


def test_softmax_form_is_focused_cross_entropy(mmcv_ops):
    logits = torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.arange(20) % 6
    loss = mmcv_ops.softmax_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    entropy = F.cross_entropy(logits, target, reduction='none')
    torch.testing.assert_close(loss, 0.25 * (1 - (-entropy).exp()) ** 2 * entropy)


def test_softmax_of_a_certain_row_has_no_nan():
    certain = torch.eye(3)
    grad = torch.empty(3, 3)
    arguments = certain, torch.arange(3), certain.new_empty(0)
    for gamma in (0.0, 0.5, 2.0):
        buff = torch.empty(3)
        focal_loss.softmax_focal_loss_backward(*arguments, buff, grad, gamma=gamma, alpha=0.25)
        assert grad.isfinite().all()


def test_half_precision_is_computed_in_single():
    logits = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).half()
    target = torch.arange(30) % 5
    none = logits.new_empty(0)
    half, single = torch.empty(30, 4, dtype=torch.half), torch.empty(30, 4)
    focal_loss.sigmoid_focal_loss_forward(logits, target, none, half, gamma=2.0, alpha=0.25)
    focal_loss.sigmoid_focal_loss_forward(
        logits.float(), target, none, single, gamma=2.0, alpha=0.25
    )
    assert torch.equal(half, single.half())


@pytest.mark.parametrize('form', FORMS)
def test_no_samples(mmcv_ops, form):
    logits = torch.empty(0, 4, requires_grad=True)
    target = torch.empty(0, dtype=torch.long)
    loss = mmcv_ops.__dict__[f'{form}_focal_loss'](logits, target, 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0
    assert logits.grad.shape == (0, 4)


@pytest.mark.parametrize(('form', 'highest'), [('sigmoid', 4), ('softmax', 3)])
def test_class_outside_the_predictions(mmcv_ops, form, highest):
    loss = getattr(mmcv_ops, f'{form}_focal_loss')
    with pytest.raises(ValueError, match=f'found class 9 .* expected 0 to {highest} .* 4 classes'):
        loss(torch.zeros(2, 4), torch.tensor([0, 9]), 2.0, 0.25, None, 'sum')


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_equals_compiled_kernels_on_cuda(compiled):
    if compiled.get_compiling_cuda_version() == 'not available':
        pytest.skip('mmcv is compiled without CUDA')
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 80, generator=generator).mul(3).cuda()
    target = torch.randint(0, 81, (1000,), generator=generator).cuda()
    for step in ('forward', 'backward'):
        results = torch.zeros(2, 1000, 80, device='cuda')
        for module, result in zip((compiled, focal_loss), results):
            op = getattr(module, f'sigmoid_focal_loss_{step}')
            op(logits, target, logits.new_empty(0), result, gamma=2.0, alpha=0.25)
        torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-6)
