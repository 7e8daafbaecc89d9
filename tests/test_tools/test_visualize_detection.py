"""tools/visualize_detection.py on the tiny detector: test set, saved predictions, photographs of all kinds, and errors."""

import json
import shutil

import numpy as np
import pytest
import tiny_project
from PIL import Image

pytestmark = pytest.mark.xdist_group('detector')


@pytest.fixture(scope='module')
def predictions(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp('predictions') / 'frelu.pkl'
    tiny_project.forget_runs()
    tool = tiny_project.load_tool('test.py')
    work_dir = str(path.parent / 'test')
    tool.main(
        [str(detector.config), str(detector.checkpoint), '--out', str(path), '--work-dir', work_dir]
    )
    return path


def draw(*arguments):
    tiny_project.load_tool('visualize_detection.py').main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        draw(*arguments)
    assert stopped.value.code in (1, 2)
    return capsys.readouterr().err


def test_test_set_with_predictions_and_checkpoint(detector, predictions, tmp_path, capsys):
    out = tmp_path / 'out'
    models = [
        '--model',
        'saved',
        detector.config,
        predictions,
        '--model',
        'run',
        detector.config,
        detector.checkpoint,
    ]
    draw(
        *models,
        '--out',
        out,
        '--max-images',
        1,
        '--score-thr',
        '0.01',
        'run=0.02',
        '--html',
        '--format',
        'svg',
    )
    assert len(list(out.glob('*.svg'))) == 1
    assert 'saved' in (out / 'comparison.html').read_text()
    summary = json.loads((out / 'summary.json').read_text())
    # The same weights, once through tools/test.py and once here.
    assert summary['saved'] == summary['run']
    assert set(summary['run']['error_costs_in_ap50']) == {
        'cls',
        'loc',
        'both',
        'dupe',
        'bkg',
        'miss',
    }
    assert sum(summary['run']['error_counts'].values()) > 0
    printed = capsys.readouterr().out
    assert 'miss: missed' in printed
    assert 'run, worst: ' in printed
    assert f'1 picture on {out / "comparison.html"} and in {out}' in printed


def photographs(folder, source):
    """The same scene in the file formats of cameras and programs."""
    folder.mkdir()
    image = Image.open(source).convert('RGB')
    image.save(folder / 'plain.png')
    image.convert('L').save(folder / 'grey.png')
    Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257).save(
        folder / 'deep.png'
    )
    image.convert('RGBA').save(folder / 'rgba.png')
    image.convert('CMYK').save(folder / 'cmyk.jpg', quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown, the picture is higher than wide
    image.save(folder / 'turned.jpg', exif=exif, quality=95)
    Image.new('RGB', (20000, 400), (90, 120, 90)).save(folder / 'wide.png')
    Image.new('RGB', (20000, 40), (90, 120, 90)).save(
        folder / 'strip.png'
    )  # 0.3 pixels high when resized
    (folder / 'broken.png').write_bytes(b'no picture')
    return folder


def test_photographs_of_all_kinds(detector, street_scenes, tmp_path, capsys):
    source = sorted((street_scenes / 'leftImg8bit/val').rglob('*.png'))[0]
    folder = photographs(tmp_path / 'photographs', source)
    out = tmp_path / 'out'
    model = ['--model', 'FReLU', detector.config, detector.checkpoint]
    error = refused(capsys, *model, '--images', folder, '--out', out, '--score-thr', '0.01')
    assert error.startswith('error: 2 of 9 images could not be drawn:')
    assert 'broken.png cannot be read as an image' in error
    assert 'strip.png: the test pipeline of FReLU fails on an image of 20000x40 (' in error
    assert sorted(path.stem for path in out.glob('*.png')) == [
        'cmyk', 'deep', 'grey', 'plain', 'rgba', 'turned', 'wide',
    ]  # fmt: skip
    with Image.open(out / 'turned.png') as picture:
        assert picture.height > picture.width
    assert not (out / 'summary.json').exists()


def test_annotations_of_images(detector, street_scenes, tmp_path, capsys):
    content = json.loads((street_scenes / 'annotations/instances_val.json').read_text())
    first, second, *_ = content['images']
    second['width'] += 2  # of another size than the image
    annotations = tmp_path / 'own.json'
    annotations.write_text(json.dumps(content))
    folder = tmp_path / 'images'
    folder.mkdir()
    for entry in (first, second):
        found = next((street_scenes / 'leftImg8bit/val').rglob(entry['file_name'].split('/')[-1]))
        shutil.copy(found, folder)
    out = tmp_path / 'out'
    command = [
        '--model',
        'FReLU',
        detector.config,
        detector.checkpoint,
        '--images',
        folder,
        '--gt',
        annotations,
        '--out',
        out,
    ]
    error = refused(capsys, *command)
    assert 'is 128x64 (upright, as its EXIF data say), but its annotations are for 130x64' in error
    assert len(list(out.glob('*.png'))) == 1
    assert (out / 'summary.json').exists()


def test_refusals(detector, segmentor, predictions, tmp_path, capsys):
    model = ['--model', 'A', detector.config, predictions]
    out = ['--out', tmp_path / 'out']
    assert 'has predictions for a test set, not for --images' in refused(
        capsys, *model, *out, '--images', tmp_path.parent / 'nowhere.png'
    )
    assert 'expected a number from 0 to 1, found 7' in refused(
        capsys, *model, *out, '--score-thr', 7
    )
    assert "no model is called 'B'; there are A" in refused(
        capsys, *model, *out, '--score-thr', 'B=0.5'
    )
    assert '--gt needs --images' in refused(capsys, *model, *out, '--gt', 'x.json')
    assert "two models are called 'A'" in refused(capsys, *model, *model, *out)
    assert 'is a segmentation config; expected one for detection' in refused(
        capsys, '--model', 'A', segmentor.config, segmentor.checkpoint, *out
    )
    file = tmp_path / 'file'
    file.write_text('')
    assert f'{file} is a file; give a folder' in refused(capsys, *model, '--out', file)
    other = predictions.parent / 'absent.pkl'
    assert 'there is no such file' in refused(capsys, '--model', 'A', detector.config, other, *out)
    assert not (tmp_path / 'out').exists()
