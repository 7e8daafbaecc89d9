"""python -m mm_frelu.run: tools of the installed libraries where mmcv has no compiled ops."""

import sys

import pytest
import tiny_project

from mm_frelu import run
from mm_frelu.engine import UserError


@pytest.fixture(scope='module')
def config(street_scenes, tmp_path_factory):
    settings = tiny_project.detection(street_scenes)
    return tiny_project.write_config(tmp_path_factory.mktemp('run') / 'retina.py', settings)


def call(*words, cwd):
    return tiny_project.run(sys.executable, '-m', 'mm_frelu.run', *words, cwd=cwd)


def test_mmdet_shows_a_dataset(config, tmp_path):
    """A tool that imports mmdet in its first lines, with its own options."""
    result = call(
        *('mmdet', 'tools/analysis_tools/browse_dataset.py', config),
        *('--output-dir', tmp_path / 'pictures', '--not-show'),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout[-2000:]
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 6


def test_the_tool_sees_the_command_line_of_a_script(tmp_path, capsys, monkeypatch):
    (tmp_path / 'neighbour.py').write_text('word = "found"\n')
    tool = tmp_path / 'own_tool.py'
    tool.write_text(
        'import sys, neighbour, mmdet.models\nprint(__name__, neighbour.word, *sys.argv[1:])\n'
    )
    before = sys.argv, sys.path[:]
    run.main(['mmdet', str(tool), '--option', 'value'])
    assert capsys.readouterr().out.endswith('__main__ found --option value\n')
    assert (sys.argv, sys.path) == before


def test_wrong_names_are_answered_with_the_nearest():
    with pytest.raises(
        UserError, match='mmdet has no tool .* Did you mean tools/analysis_tools/conf'
    ):
        run.locate_tool('mmdet', 'tools/confusion_matrix.py')
    with pytest.raises(UserError, match=r'no library .mmdte. .* Installed: mmdet, mmseg'):
        run.locate_tool('mmdte', 'tools/test.py')


def test_without_a_tool_it_lists_them(capsys):
    run.main(['mmseg'])
    assert 'tools/analysis_tools/browse_dataset.py' in capsys.readouterr().out.splitlines()
    run.main(['--help'])
    assert 'python -m mm_frelu.run mmdet' in capsys.readouterr().out
