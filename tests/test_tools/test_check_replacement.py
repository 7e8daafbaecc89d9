"""tools/analysis_tools/check_replacement.py, docs/any_config.md, and the packaged configs that they are about."""

import re
import shlex

import pytest
import tiny_project

from mm_frelu.analysis.replacement_check import check_config
from mm_frelu.engine.arguments import load_config, read_config

DOC = (tiny_project.REPOSITORY / 'docs/any_config.md').read_text()
TOOL = tiny_project.load_tool('analysis_tools/check_replacement.py')
SMALL = (
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',
    'mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py',
    'mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py',
)
RELU = ('fast_scnn', 'ddrnet')


def rows_of(table):
    """Config and the other cells of each row."""
    rows = [line[2:-2].split(' | ') for line in table.splitlines() if line.startswith('| `mm')]
    return {cells[0].strip('`'): cells[1:] for cells in rows if len(cells) == 6}


def check(config):
    return check_config(read_config(config), dict(type='FReLU'), ['*'])


@pytest.mark.parametrize('config', SMALL)
def test_a_network_of_another_library(config):
    verdict = check(config)
    assert verdict.works, verdict
    assert verdict.equal is (True if any(name in config for name in RELU) else None)
    assert verdict.replaced > 5


@pytest.mark.slow
@pytest.mark.parametrize('config', TOOL.CONFIGS)
def test_the_table_of_the_docs_is_what_the_tool_says(config, capsys):
    TOOL.main([config])
    said = rows_of(capsys.readouterr().out)
    name = config.replace('.py', '')
    assert said[name][:4] == rows_of(DOC)[name][:4]


def test_the_table_of_the_docs_has_every_config():
    rows = rows_of(DOC)
    assert list(rows) == [config.replace('.py', '') for config in TOOL.CONFIGS]
    working = [cells for cells in rows.values() if cells[2] != '**differs**' and cells[3] == 'yes']
    assert f'{len(working)} of the {len(rows)} configs work' in ' '.join(DOC.split())


def test_the_tool_writes_its_table(capsys, tmp_path):
    out = tmp_path / 'new' / 'table.md'
    TOOL.main(
        [
            SMALL[1],
            'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
            '--out',
            str(out),
        ]
    )
    printed, written = rows_of(capsys.readouterr().out), rows_of(out.read_text())
    assert printed == written
    assert written[SMALL[1].replace('.py', '')][2:4] == ['equal', 'yes']
    assert (
        'mmpretrain'
        in written['mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco'][4]
    )
    assert [file.name for file in out.parent.iterdir()] == ['table.md']


@pytest.mark.parametrize('command', re.findall(r'^python tools/(.*)$', DOC, re.MULTILINE))
def test_the_commands_of_the_docs_are_understood(command, tmp_path, monkeypatch):
    """The options and configs of the documented commands are valid. Data and weights are not available here."""
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(command, comments=True)
    args = tiny_project.load_tool(name).parse_args(arguments)
    if name in ('train.py', 'test.py'):
        cfg = load_config(args)
        assert (cfg.model.type == 'ReplaceActivation') is (args.act is not None)
