"""tools/analysis_tools/compare_flops.py: the papers' figures, and docs/complexity.md, which prints what the tool prints."""

import shlex

import pytest
import tiny_project

from mm_frelu.analysis.classifier import classifier_cost
from mm_frelu.analysis.paper_figures import agrees, dy_relu_pairs, frelu_rows

DOCS = (tiny_project.REPOSITORY / 'docs' / 'complexity.md').read_text()
COMMAND = 'python tools/analysis_tools/compare_flops.py --markdown'


@pytest.fixture
def tool():
    return tiny_project.load_tool('analysis_tools/compare_flops.py')


def test_agreement_is_to_the_last_printed_digit():
    assert agrees(25_504_000, '25.5M')
    assert agrees(25_599_000, '25.5M')
    assert not agrees(25_601_000, '25.5M')
    assert agrees(3_869_700_000, '3.87G')
    assert not agrees(3_928_400_000, '3.87G')
    assert agrees(40_480_000, '41M')
    assert not agrees(311_430_000, '318M')


def test_known_networks():
    """Against torchvision's ResNet-50, and the official ShuffleNetV2, whose last layer has no bias."""
    rows = {(row.name, row.placement): row.network for row in frelu_rows()}
    resnet = classifier_cost(*rows['ResNet-50', 'ReLU'])
    assert (resnet.parameters, resnet.norm_parameters) == (25_557_032, 53_120)
    shufflenet = classifier_cost(*rows['ShuffleNetV2 0.5x', 'FReLU, light'])
    assert shufflenet.parameters - 1000 == 1_395_232
    assert agrees(shufflenet.macs, '45.41M')


def test_windows_of_mobilenet_by_hand():
    """Nine multiply-adds for each value after either convolution, summed over the blocks."""
    rows = {(row.name, row.placement): row.network for row in frelu_rows()}
    relu, frelu = (
        classifier_cost(*rows['MobileNet 0.75', placement])
        for placement in ('ReLU', 'FReLU, both sites')
    )
    widths = [24, 48, 96, 96, 192, 192, *[384] * 6, 768, 768]
    sizes = [112, 112, 56, 56, 28, 28, *[14] * 6, 7, 7]
    values = sum(
        size**2 * (before + after) for before, after, size in zip(widths, widths[1:], sizes[1:])
    )
    assert frelu.macs - relu.macs == 9 * values


def test_every_difference_has_a_reason(tool):
    """On the networks that are fast to count; the slow test has all of them."""
    rows = [row for row in frelu_rows() if row.name == 'ShuffleNetV2 1.5x']
    verdicts = [cells[-1] for cells in tool.compare_frelu(rows).rows]
    assert verdicts[0] == verdicts[2] == 'agrees'
    assert verdicts[1].startswith('differs: the figures fit')


def test_lines_of_the_docs(tool, capsys):
    tool.main(['--markdown', '--network', 'ShuffleNetV2 0.5x', 'ResNet-10'])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    assert len(lines) == 7
    assert all(line in DOCS for line in lines)


@pytest.mark.slow
def test_docs_are_what_the_command_prints(tool, capsys):
    assert f'\n{COMMAND}\n' in DOCS
    tool.main(shlex.split(COMMAND)[2:])
    printed = capsys.readouterr().out
    assert printed.strip() in DOCS
    verdicts = [
        line.split(' | ')[-1].rstrip(' |') for line in printed.splitlines() if '(table' in line
    ]
    assert len(verdicts) == len(frelu_rows())
    assert verdicts.count('agrees') == 9
    assert all(verdict == 'agrees' or len(verdict) > len('differs: ') for verdict in verdicts)


def test_table_for_reading(tool, capsys):
    tool.main(['--network', 'ResNet-10'])
    table = capsys.readouterr().out
    assert '5.42 M' in table
    assert '+8.2%' in table
    assert 'FReLU paper' not in table


def test_unknown_network(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(['--network', 'VGG'])
    assert '--network VGG: there is no such row. Use ResNet-50' in capsys.readouterr().err


def test_pairs_differ_in_the_activation_alone():
    for pair in dy_relu_pairs():
        baseline, dynamic = pair.baseline.backbone, pair.dynamic.backbone
        words = {key for key in {*baseline, *dynamic} if baseline.get(key) != dynamic.get(key)}
        assert words <= {'act_cfg', 'act_stages', 'act_sites', 'with_se'}
