"""tools/demo.py from beginning to end, at a size that learns nothing."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
sys.path.insert(0, str(TOOLS))
import demo_report  # noqa: E402

pytestmark = pytest.mark.xdist_group('demo')  # one process: the fixtures are expensive


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo')
    command = [sys.executable, str(TOOLS / 'demo.py'), '--train', '8', '--val', '2']
    command += ['--size', '128x64', '--pictures', '1', '--max-iters', '1']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return folder, result.stdout


def test_report_has_both_tables_and_its_pictures(demo):
    folder, _ = demo
    out = folder / 'work_dirs/demo'
    report = (out / 'report.md').read_text()
    number = r'[\d.,]+'
    for name in ('PSPNet R-18 FReLU', 'PSPNet R-18 ReLU', 'RetinaNet R-18 FReLU'):
        assert re.search(
            rf'\| {name} \| {number} \| {number} \| {number} \| {number} \| \d+ \|', report
        )
    assert re.search(r'\| always "\w+" \|', report)
    pictures = re.findall(r'!\[.*?\]\((.*?)\)', report)
    assert len(pictures) == 3
    assert all((out / picture).stat().st_size > 10_000 for picture in pictures)
    assert not list(out.glob('*.tmp'))


def test_commands_are_shown_and_the_report_is_named(demo):
    _, printed = demo
    commands = re.findall(r'^\$ python (\S+)', printed, flags=re.MULTILINE)
    tools = [Path(command).name for command in commands]
    assert tools == [
        'street_scenes.py',
        *['train.py', 'test.py'] * 3,
        *['visualize_segmentation.py'] * 2,
        'visualize_detection.py',
    ]
    assert 'work_dirs/demo/report.md' in printed
    assert 'eta: ' in printed


@pytest.mark.slow
def test_full_demo_learns(tmp_path):
    """At full size the models have learnt: mIoU is 3 times that of the constant prediction, and AP50 is at least 0.4."""
    subprocess.run([sys.executable, str(TOOLS / 'demo.py')], cwd=tmp_path, check=True)
    report = (tmp_path / 'work_dirs/demo/report.md').read_text()

    def cell(row, column):
        line = next(line for line in report.splitlines() if line.startswith(f'| {row}'))
        return float(line.split('|')[column + 1])

    for name in ('PSPNet R-18 FReLU', 'PSPNet R-18 ReLU'):
        assert cell(name, 1) >= 3 * cell('always', 1)
    assert cell('RetinaNet R-18 FReLU', 2) >= 40.0


def test_class_ious_by_hand():
    label = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    prediction = np.array([[0, 1, 1, 0]], dtype=np.uint8)
    ious = demo_report.class_ious([prediction], [label])
    assert ious[0] == pytest.approx(50.0)
    assert ious[1] == pytest.approx(50.0)
    assert np.isnan(ious[2])


def test_slender_classes_exist():
    assert set(demo_report.SLENDER) <= set(demo_report.CLASSES)


def test_failing_command_ends_the_demo_with_its_output(tmp_path):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/notes.txt').write_text('not a data set')
    command = [sys.executable, str(TOOLS / 'demo.py'), '--data', 'data']
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    assert 'its whole output is in work_dirs/demo/scenes.txt' in result.stderr
