"""With their own activations and the same state dict our MobileNets compute what mmpretrain's compute, bit for bit."""

import mm_frelu  # noqa: F401  isort: skip  (before mmpretrain: it stands in for missing compiled ops)

import pytest
import torch
from mobile_networks import randomise

from mm_frelu import MobileNetV2, MobileNetV3

pytest.importorskip('mmpretrain', reason='needs the extra mm_frelu[pretrain]')

CASES = {
    'v2': (MobileNetV2, dict(widen_factor=0.5, out_indices=(1, 2, 4, 7)), 'ReLU6'),
    'v3-small': (MobileNetV3, dict(arch='small', out_indices=(1, 3, 8, 12)), None),
    'v3-large': (MobileNetV3, dict(arch='large', out_indices=(16,)), None),
}


@pytest.mark.parametrize('case', CASES)
def test_equal_in_eval(case):
    from mmpretrain.models import backbones

    our_class, options, act = CASES[case]
    options = dict(options, norm_cfg=dict(type='BN', eps=0.001, momentum=0.01))
    upstream = randomise(getattr(backbones, our_class.__name__)(**options))
    upstream.eval()  # returns None
    ours = our_class(**options, act_cfg=act and dict(type=act)).eval()
    ours.load_state_dict(upstream.state_dict())
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        expected, actual = upstream(x), ours(x)
    assert len(expected) == len(actual)
    for theirs, our in zip(expected, actual):
        assert torch.equal(our, theirs)
