"""What is recorded of DY-ReLUs, against their formula."""

import pytest
import torch
from torch import nn

from mm_frelu.activations import DyReLUA, DyReLUB, DyReLUC
from mm_frelu.inspection.dynamic import (
    DynamicRecord,
    Sample,
    band,
    coefficients_of,
    recording,
    slope_difference,
)
from mm_frelu.inspection.layers import dynamic_layers


def mmdet_layer(channels):
    from mmdet.models.layers import DyReLU

    return DyReLU(channels)


@pytest.mark.parametrize('build', [DyReLUA, DyReLUB, DyReLUC, mmdet_layer])
def test_the_output_is_that_of_the_coefficients(build):
    torch.manual_seed(0)
    act = build(8)
    for parameter in act.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(1, 8, 6, 6)
    records = {}
    with torch.no_grad(), recording(dynamic_layers(nn.Sequential(act)), records, per_image=300):
        y = act(x)
        slopes, intercepts = coefficients_of(act, x)
    expected = (slopes[..., None, None] * x + intercepts[..., None, None]).amax(dim=0)
    record = records['0']
    if build is DyReLUC:
        expected = expected * record.attention
    torch.testing.assert_close(y, expected)
    difference = (slopes[0, 0] - slopes[1, 0]).abs()
    torch.testing.assert_close(record.differences[0], difference)
    assert len(difference) == (1 if build is DyReLUA else 8)
    pairs = {(a, b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist())}
    assert {*zip(record.sample.x.tolist(), record.sample.y.tolist())} <= pairs
    assert len(record.sample.x) == 288  # all there are


def test_more_than_two_slopes():
    slopes = torch.tensor([[[1.0]], [[-0.5]], [[0.25]]])
    assert slope_difference(slopes).item() == 1.5


def test_padding_is_left_out_and_the_seed_decides_what_is_drawn():
    act, x = DyReLUB(2).eval(), torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        y = act(x)
        records = [DynamicRecord(per_image=3, seed=seed) for seed in (5, 5, 6)]
        for record in records:
            record.add(act, x, y, lambda features: features[..., :2, :2])
    inside = set(x[..., :2, :2].flatten().tolist())
    assert set(records[0].sample.x.tolist()) <= inside
    assert torch.equal(records[0].sample.x, records[1].sample.x)
    assert not torch.equal(records[0].sample.x, records[2].sample.x)


def test_band_is_flat_for_a_fixed_activation_and_wide_for_a_dynamic_one():
    x = torch.linspace(-1, 1, 20001)
    centres, ranges = band(Sample(x, x.clamp_min(0)))
    assert len(centres) == 40
    width = ranges[1] - ranges[0]
    assert width[centres < 0].max() < 1e-6
    # Within an interval, 1.98 / 40 wide, 98 % of a ReLU's values.
    assert width[5 + len(width) // 2 :].tolist() == pytest.approx([0.98 * 1.98 / 40] * 15, rel=0.1)
    twice = Sample(torch.cat([x, x]), torch.cat([x, 3 * x]))
    centres, ranges = band(twice)
    middle = float((ranges[1] - ranges[0])[-1])
    assert middle == pytest.approx(2 * float(centres[-1]), rel=0.1)
