"""The benchmark of the stand-in ops runs, and says where and what it measured."""

import json
import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark_ops.py'


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    monkeypatch.setenv('COLUMNS', '120')
    runpy.run_path(str(TOOL), run_name='__main__')


def test_table_and_json(monkeypatch, capsys, tmp_path):
    sizes = ['--boxes', 10, 20, '--anchors', 50, '--classes', 3, '--repeat', 3, '--device', 'cpu']
    run(monkeypatch, *sizes, '--json', tmp_path / 'ops.json')
    printed = capsys.readouterr().out
    for part in (
        'device: cpu',
        'torch:',
        'NMS, 20 boxes',
        'focal loss, 50 x 3',
        'Absent here',
    ):
        assert part in printed

    result = json.loads((tmp_path / 'ops.json').read_text())
    assert [path.name for path in tmp_path.iterdir()] == ['ops.json']
    assert {'device', 'torch', 'mmcv', 'torchvision', 'date'} <= set(result['surroundings'])
    measured = {(row['op'], row['way']) for row in result['rows']}
    for name in ('NMS, 10 boxes', 'NMS, 20 boxes', 'focal loss, 50 x 3'):
        assert (name, 'stand-in') in measured
    assert ('focal loss, 50 x 3', 'mmdet Python') in measured
    for row in result['rows']:
        assert 0 < row['fastest_ms'] <= row['median_ms'] <= row['slowest_ms']
    # Compiled mmcv has no focal loss for the CPU, whatever is installed.
    assert 'compiled mmcv for focal loss' in result['absent']


def test_folder_of_json_is_missing(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match='--json .*nowhere does not exist'):
        run(monkeypatch, '--json', tmp_path / 'nowhere' / 'ops.json')


def test_bad_size(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, '--boxes', 0)
    assert '0: expected an integer above 0' in capsys.readouterr().err
