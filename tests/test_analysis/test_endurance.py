"""Endurance: the curve says what the process holds, and a leak is not called flat."""

import contextlib
import json
import mmap
import threading

import pytest
import tiny_project

from mm_frelu.analysis.endurance import Usage, growths, usage
from mm_frelu.engine import UserError

MIB = 2**20


def curve(points=10, **slopes):
    """Points of a process that grows by ``slopes`` from one to the next, after a start at 100 MiB."""
    start = dict(memory=100 * MIB, workers=0, device=0, files=20, threads=4)
    return [
        Usage(index, **{key: value + slopes.get(key, 0) * index for key, value in start.items()})
        for index in range(points)
    ]


@pytest.mark.parametrize(
    ('slopes', 'said'),
    [
        (dict(memory=MIB), ['memory 106.0 MiB -> 109.0 MiB']),
        (dict(files=1, threads=1), ['files 26 -> 29', 'threads 10 -> 13']),
        (dict(workers=5 * MIB), ['workers 30.0 MiB -> 45.0 MiB']),
        (dict(memory=MIB // 4), []),  # 0.7 % from third to third
    ],
)
def test_what_grows_is_named(slopes, said):
    assert growths(curve(**slopes)) == said


def test_loading_at_the_start_is_no_growth_and_few_points_tell_nothing():
    points = curve()
    points[:3] = [point._replace(memory=50 * MIB, files=9) for point in points[:3]]
    assert growths(points) == []
    with pytest.raises(UserError, match='5 points are too few'):
        growths(curve(5))


def test_usage_counts_files_threads_and_memory(tmp_path):
    before = usage(0)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    # Not of the heap, which may have room that was freed.
    block = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.write(b'x' * len(block))
    with open(tmp_path / 'a', 'w'), open(tmp_path / 'b', 'w'):
        after = usage(3)
    stop.set()
    thread.join()
    assert after.count == 3
    assert after.files == before.files + 2
    assert after.threads == before.threads + 1
    assert after.memory - before.memory > 0.9 * len(block)


def test_the_tool_runs_any_config(street_scenes, tmp_path, capsys):
    tiny_project.forget_runs()
    settings = tiny_project.detection(street_scenes)
    settings['default_hooks']['checkpoint'].update(by_epoch=True, save_best='coco/bbox_mAP')
    config = tiny_project.write_config(tmp_path / 'any.py', settings)
    tool = tiny_project.load_tool('analysis_tools/endurance.py')
    argv = [config, '--steps', 10, '--images', 20, '--work-dir', tmp_path / 'run']
    with contextlib.suppress(
        SystemExit
    ):  # ten steps are few; whether they are flat is not asked here
        tool.main([str(part) for part in [*argv, '--json', tmp_path / 'curves.json']])
    printed = capsys.readouterr().out
    assert 'Training steps: ' in printed
    assert 'Images predicted: ' in printed
    curves = json.loads((tmp_path / 'curves.json').read_text())
    assert [point['count'] for point in curves['training']] == list(range(1, 11))
    assert [point['count'] for point in curves['inference']] == list(range(2, 21, 2))
    assert {point['files'] > 3 and point['memory'] > MIB for point in curves['training']} == {True}
    assert (tmp_path / 'run' / 'iter_10.pth').is_file()


def test_too_short_a_run_is_refused(capsys):
    with pytest.raises(SystemExit):
        tiny_project.load_tool('analysis_tools/endurance.py').main(['--steps', '9'])
    assert '9 is less than 10' in capsys.readouterr().err
