"""NMS and soft NMS against the definition, against recorded and against installed compiled mmcv, and torchvision."""

import pytest
import torch
from op_cases import degenerate_boxes, golden, greedy_nms, random_boxes

from mm_frelu.compat import nms as nms_module
from mm_frelu.compat.nms import nms, nms_in_blocks, softnms
from mm_frelu.compat.torchvision_ops import torchvision_ops

CASES = ['random', 'ties', 'degenerate', 'empty', 'single', 'same', 'many']


def case(name):
    """Boxes and scores of a case; scores on a coarse grid have many ties."""
    generator = torch.Generator().manual_seed(3)
    if name == 'degenerate':
        boxes = degenerate_boxes()
    elif name == 'same':
        boxes = random_boxes(1, generator).repeat(300, 1)
    else:
        num = {'empty': 0, 'single': 1, 'many': 5000}.get(name, 400)
        boxes = random_boxes(num, generator)
    scores = torch.rand(len(boxes), generator=generator)
    if name in ('ties', 'degenerate', 'many'):
        scores = (scores * 20).round() / 20
    return boxes, scores


def in_plain_torch(boxes, scores, threshold, offset):
    """NMS as it runs without torchvision."""
    order = scores.sort(dim=0, descending=True).indices
    return order[nms_in_blocks(boxes[order], threshold, offset)]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize('name', ['random', 'degenerate'])
def test_equals_recorded_compiled_nms(name, threshold, offset):
    recorded = golden()
    keep = in_plain_torch(recorded[f'{name}/boxes'], recorded[f'{name}/scores'], threshold, offset)
    assert torch.equal(keep, recorded[f'{name}/nms-{threshold}-{offset}'])


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0, 0.5, 0.6, 1])
@pytest.mark.parametrize('name', CASES)
def test_equals_compiled_nms(compiled, name, threshold, offset):
    boxes, scores = case(name)
    expected = compiled.nms(boxes, scores, threshold, offset)
    assert torch.equal(nms(boxes, scores, threshold, offset), expected)
    assert torch.equal(in_plain_torch(boxes, scores, threshold, offset), expected)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0, 0.5, 0.6, 1])
@pytest.mark.parametrize('name', CASES)
def test_equals_the_definition(name, threshold, offset):
    boxes, scores = case(name)
    keep = in_plain_torch(boxes, scores, threshold, offset)
    assert torch.equal(keep, greedy_nms(boxes, scores, threshold, offset))


@pytest.mark.parametrize('threshold', [0, 0.5, 0.6, 1])
@pytest.mark.parametrize('name', CASES)
def test_torchvision_gives_the_same(monkeypatch, name, threshold):
    library = torchvision_ops('cpu')
    if library is None:
        pytest.skip('torchvision is not installed, or not for this torch')
    monkeypatch.setattr(nms_module, 'torchvision_ops', lambda device_type: library)
    boxes, scores = case(name)
    keep = nms(boxes, scores, threshold, offset=0)
    assert torch.equal(keep, in_plain_torch(boxes, scores, threshold, offset=0))


def test_a_box_at_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU exactly 1/2
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5, 0).tolist() == [0, 1]
    assert nms(boxes, scores, 0.49, 0).tolist() == [0]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    boxes = random_boxes(200, torch.Generator().manual_seed(0)).round().to(dtype)
    scores = torch.rand(200, generator=torch.Generator().manual_seed(1)).to(dtype)
    keep = nms(boxes, scores, 0.45, 0)
    assert keep.dtype == torch.long
    assert torch.equal(keep, greedy_nms(boxes.float(), scores, 0.45, 0))


def test_memory_grows_with_the_boxes_not_with_their_square(monkeypatch):
    sizes = []
    overlap = nms_module._iou
    monkeypatch.setattr(
        nms_module, '_iou', lambda a, b, o: sizes.append(len(a) * len(b)) or overlap(a, b, o)
    )
    boxes = random_boxes(5000, torch.Generator().manual_seed(0))
    nms_in_blocks(boxes, 1.0, 0)
    assert max(sizes) <= nms_module.ROWS_PER_BLOCK * 5000


def test_batched_nms_treats_each_class_by_itself(mmcv_ops):
    generator = torch.Generator().manual_seed(5)
    boxes, scores = random_boxes(300, generator), torch.rand(300, generator=generator)
    classes = torch.randint(0, 4, (300,), generator=generator)
    dets, keep = mmcv_ops.batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.5))

    members = [(classes == number).nonzero().flatten() for number in range(4)]
    expected = torch.cat([part[greedy_nms(boxes[part], scores[part], 0.5, 0)] for part in members])
    expected = expected[scores[expected].argsort(descending=True)]
    assert torch.equal(keep, expected)
    assert torch.equal(dets, torch.cat((boxes[keep], scores[keep, None]), dim=1))


def test_score_threshold_and_max_num_of_mmcv(mmcv_ops):
    boxes = random_boxes(100, torch.Generator().manual_seed(0)).requires_grad_()
    scores = torch.linspace(0, 1, 100)
    _, keep = mmcv_ops.nms(boxes, scores, 0.5, score_threshold=0.3, max_num=5)
    best = greedy_nms(boxes.detach(), scores, 0.5, 0)
    assert torch.equal(keep, best[:5])


@pytest.mark.parametrize('method', [0, 1, 2])
@pytest.mark.parametrize('name', ['random', 'degenerate'])
def test_equals_recorded_compiled_softnms(name, method):
    recorded = golden()
    boxes = recorded[f'{name}/boxes']
    dets = torch.zeros(len(boxes), 5)
    keep = softnms(boxes, recorded[f'{name}/scores'], dets, 0.3, 0.5, 0.05, method, 0)
    assert torch.equal(keep, recorded[f'{name}/softnms-{method}'])
    expected = recorded[f'{name}/softnms-{method}-scores']
    torch.testing.assert_close(dets[: len(keep), 4], expected, equal_nan=True)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', [0, 1, 2])
@pytest.mark.parametrize('name', [name for name in CASES if name != 'many'])
def test_equals_compiled_softnms(compiled, name, method, offset):
    boxes, scores = case(name)
    dets, expected_dets = torch.zeros(2, len(boxes), 5)
    keep = softnms(boxes, scores, dets, 0.3, 0.5, 0.01, method, offset)
    expected = compiled.softnms(boxes, scores, expected_dets, 0.3, 0.5, 0.01, method, offset)
    assert torch.equal(keep, expected)
    torch.testing.assert_close(dets[: len(keep)], expected_dets[: len(keep)], equal_nan=True)


def test_soft_nms_of_mmcv_leaves_its_input(mmcv_ops):
    boxes = random_boxes(30, torch.Generator().manual_seed(0))
    scores = torch.rand(30, generator=torch.Generator().manual_seed(1))
    before = boxes.clone(), scores.clone()
    dets, keep = mmcv_ops.soft_nms(boxes, scores, 0.3, method='linear')
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])
    assert torch.equal(dets[:, :4], boxes[keep])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
@pytest.mark.parametrize('name', ['random', 'many'])
def test_cuda_keeps_what_the_cpu_keeps(name):
    boxes, scores = case(name)
    scores = torch.linspace(0, 1, len(scores))  # ties are sorted differently there
    keep = nms(boxes.cuda(), scores.cuda(), 0.5, 1)
    assert torch.equal(keep.cpu(), in_plain_torch(boxes, scores, 0.5, 1))
