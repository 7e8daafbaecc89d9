"""tools/visualize_keypoints.py, without the parts that need mmpose (tests/test_keypoints has those)."""

import numpy as np
import pytest
import tiny_project


@pytest.fixture
def tool(monkeypatch):
    """The tool with a test set of two images of the same name, and without models."""
    tool = tiny_project.load_tool('visualize_keypoints.py')

    class People(list):
        get_data_info = list.__getitem__

    people = People(dict(img_path=f'/people/{folder}/1.jpg') for folder in ('a', 'b', 'b'))
    monkeypatch.setattr(tool, 'load_model', lambda name, *others: tool.Model(name, None, people))
    shown = {'ground truth': np.zeros((8, 16, 3), np.uint8)}
    monkeypatch.setattr(tool, 'panels', lambda *arguments: shown)
    return tool


def test_images_of_the_same_name_in_two_folders(tool, tmp_path, capsys):
    tool.main(['--model', 'A', 'a.py', 'a.pth', '--out', str(tmp_path)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ['1.png', '1_2.png']
    assert '2 pictures in' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        ('--width', '0', 'expected a length from 0.2 to 100 inches'),
        ('--dpi', '-1', 'expected a number above 0'),
        ('--kpt-thr', '30', 'expected a number from 0 to 1'),
        ('--max-images', '0', 'expected an integer of at least 1'),
    ],
)
def test_options_that_make_no_sense(tool, tmp_path, capsys, option, value, message):
    with pytest.raises(SystemExit) as ended:
        tool.main(['--model', 'A', 'a.py', 'a.pth', '--out', str(tmp_path), option, value])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
