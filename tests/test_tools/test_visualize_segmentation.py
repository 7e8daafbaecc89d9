"""tools/visualize_segmentation.py end to end, with two tiny PSPNets of random weights, and its errors for bad input."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mm_frelu  # noqa: F401

pytestmark = pytest.mark.xdist_group('visualize')  # one process: the fixtures are expensive

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'visualize_segmentation.py'
CLASSES = ('road', 'pole', 'car')
PALETTE = [[128, 64, 128], [153, 153, 153], [0, 0, 142]]

CONFIG = """
custom_imports = dict(imports=['mm_frelu'], allow_failed_imports=False)
default_scope = 'mmseg'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[120.0, 120.0, 120.0], std=[60.0, 60.0, 60.0], bgr_to_rgb=True,
        pad_val=0, seg_pad_val=255, size=(32, 64)),
    backbone=dict(
        type='mm_frelu.ResNet', depth=18, base_channels=8, norm_cfg=norm_cfg, act_cfg=dict(type='{act}'),
        init_cfg=dict(type='Pretrained', checkpoint='nowhere.pth')),
    decode_head=dict(
        type='PSPHead', in_channels=64, in_index=3, channels=8, pool_scales=(1, 2), num_classes={num_classes},
        norm_cfg=norm_cfg, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    auxiliary_head=dict(
        type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1, num_classes={num_classes},
        norm_cfg=norm_cfg, align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 32), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='mm_frelu.CheckLabelIds', num_classes={num_classes}),
    dict(type='PackSegInputs')]
test_dataloader = dict(
    dataset=dict(type='CityscapesDataset', metainfo=dict(classes={classes}, palette={palette}),
                 pipeline=test_pipeline))
"""


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('visualize_segmentation', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_model(folder, name, act, classes=CLASSES, in_checkpoint=True):
    """Writes NAME.py and NAME.pth with random weights; returns what follows --model."""
    from mmengine.config import Config
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    config = folder / f'{name}.py'
    palette = PALETTE[: len(classes)]
    config.write_text(
        CONFIG.format(act=act, num_classes=len(classes), classes=classes, palette=palette)
    )
    torch.manual_seed(len(name))
    model = MODELS.build(Config.fromfile(config).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    meta = dict(dataset_meta=dict(classes=classes, palette=palette)) if in_checkpoint else {}
    checkpoint = folder / f'{name}.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    return [name, str(config), str(checkpoint)]


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    return [
        '--model',
        *write_model(folder, 'ReLU', 'ReLU'),
        '--model',
        *write_model(folder, 'FReLU', 'FReLU', in_checkpoint=False),
    ]


@pytest.fixture
def data(tmp_path):
    """Two images of two cities in CityScapes' layout, with the label files that are not for training beside them."""
    generator = np.random.default_rng(0)
    for city in ('aachen', 'bonn'):
        stem = f'{city}_000000_000019'
        image = tmp_path / 'leftImg8bit' / 'val' / city / f'{stem}_leftImg8bit.png'
        labels = tmp_path / 'gtFine' / 'val' / city / f'{stem}_gtFine_labelTrainIds.png'
        image.parent.mkdir(parents=True)
        labels.parent.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 255, (48, 96, 3)).astype(np.uint8)).save(image)
        truth = generator.integers(0, 3, (48, 96)).astype(np.uint8)
        truth[:4] = 255
        Image.fromarray(truth).save(labels)
        Image.fromarray(truth + 7).save(labels.with_name(f'{stem}_gtFine_labelIds.png'))
    return tmp_path


def pictures(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob('*') if file.is_file())


def photograph(path, size, mode='RGB'):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 80).convert(mode).save(path)
    return path


def error_of(tool, capsys, arguments, code=1):
    with pytest.raises(SystemExit) as stop:
        tool.main([str(argument) for argument in arguments])
    assert stop.value.code == code
    return capsys.readouterr().err


def test_command_line_on_cityscapes_layout(data, models):
    # As a user calls it; SyncBN on a CPU, a pretrained file that is not there, labels paired by CityScapes' names.
    out = data / 'new' / 'pictures'
    command = [sys.executable, str(TOOL), '--images', str(data / 'leftImg8bit' / 'val'), *models]
    command += ['--gt', str(data / 'gtFine' / 'val'), '--crop', '8,8,64,32', '--out', str(out)]
    done = subprocess.run(
        [*command, '--device', 'cpu'], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f'2 figures in {out}' in done.stdout
    assert pictures(out) == [
        'aachen/aachen_000000_000019.png',
        'bonn/bonn_000000_000019.png',
    ]
    with Image.open(out / 'bonn' / 'bonn_000000_000019.png') as picture:
        assert picture.size[0] == 1440


def test_photographs_of_any_kind_without_labels(tool, tmp_path, models, capsys):
    folder = tmp_path / 'photos'
    photograph(folder / 'wide.jpg', (300, 40))
    photograph(folder / 'deep' / 'er' / 'tall.PNG', (31, 77), 'RGBA')
    photograph(folder / 'grey.tif', (20, 20), 'L')
    photograph(folder / 'dot.bmp', (1, 1))
    photograph(folder / 'same.png', (40, 30))
    photograph(folder / 'same.jpg', (40, 30))
    (folder / 'notes.txt').write_text('not an image')
    alone = photograph(tmp_path / 'alone.webp', (64, 64))
    out = folder / 'out'
    arguments = ['--images', folder, alone, *models, '--out', out, '--crop', 'auto', '--only-mask']
    for _ in range(2):  # the second run must not read the pictures of the first as input
        tool.main([str(argument) for argument in [*arguments, '--device', 'cpu']])
        assert pictures(out) == [
            'alone.png',
            'deep/er/tall.png',
            'dot.png',
            'grey.png',
            'same.png',
            'same_2.png',
            'wide.png',
        ]
    assert str(out) in capsys.readouterr().out


@pytest.fixture
def odd_photographs(tmp_path):
    """An image, left half black and right half white, in the file formats of cameras and editors."""
    folder = tmp_path / 'odd'
    folder.mkdir()
    grey = np.zeros((32, 64), np.uint8)
    grey[:, 32:] = 255
    picture = Image.fromarray(grey)
    picture.save(folder / 'grey.png')
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / 'grey_16_bits.png')
    for mode, name in (
        ('RGBA', 'rgba.png'),
        ('CMYK', 'cmyk.jpg'),
        ('1', 'bits.png'),
        ('P', 'palette.png'),
    ):
        picture.convert(mode).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / 'turned.jpg', exif=exif, quality=95)
    import cv2

    cv2.imwrite(
        str(folder / 'rgb_16_bits.png'), np.repeat(grey[..., None], 3, 2).astype(np.uint16) * 257
    )
    return folder


def test_images_of_every_form_are_drawn_as_they_look(tool, odd_photographs, tmp_path, models):
    out = tmp_path / 'out'
    arguments = [
        '--images',
        odd_photographs,
        *models,
        '--out',
        out,
        '--device',
        'cpu',
        '--no-legend',
    ]
    tool.main([str(argument) for argument in arguments])
    assert len(pictures(out)) == 8
    for name in pictures(out):
        with Image.open(out / name) as figure:
            # The image is the upper left panel of four.
            top, height = figure.height // 20, figure.height // 2 - figure.height // 10
            panel = np.asarray(figure.convert('L'))[top : top + height, : figure.width // 2]
        assert panel[height // 2, panel.shape[1] // 8] < 60, name
        assert panel[height // 2, 7 * panel.shape[1] // 8] > 195, name


def test_labels_of_a_turned_image_that_were_not_turned(
    tool, odd_photographs, tmp_path, models, capsys
):
    labels = tmp_path / 'labels'
    labels.mkdir()
    Image.fromarray(np.zeros((64, 32), np.uint8)).save(labels / 'turned.png')
    arguments = [
        '--images',
        odd_photographs / 'turned.jpg',
        *models,
        '--gt',
        labels,
        '--out',
        tmp_path / 'out',
    ]
    text = error_of(tool, capsys, arguments)
    assert 'turned.png is 32x64, its image 64x32' in text
    assert 'EXIF' in text


@pytest.mark.slow
def test_an_image_of_20000_pixels(tool, tmp_path, models, capsys):
    wide = photograph(tmp_path / 'wide.png', (20000, 700))
    labels = tmp_path / 'labels'
    labels.mkdir()
    Image.fromarray(np.zeros((700, 20000), np.uint8)).save(labels / 'wide.png')
    out = tmp_path / 'out'
    arguments = [
        '--images',
        wide,
        *models,
        '--gt',
        labels,
        '--out',
        out,
        '--html',
        '--format',
        'png',
    ]
    tool.main([str(argument) for argument in [*arguments, '--crop', 'auto', '--device', 'cpu']])
    assert pictures(out) == ['comparison.html', 'wide.png']
    # Reduced to 64 pixels, as this pipeline does, nothing is left of its height.
    strip = photograph(tmp_path / 'strip.png', (20000, 60))
    text = error_of(tool, capsys, ['--images', strip, *models, '--out', out, '--device', 'cpu'])
    assert 'strip.png: the test pipeline of the model ReLU cannot process an image of 20' in text


def test_html(tool, data, models, capsys):
    out = data / 'out'
    labels = data / 'gtFine' / 'val'
    arguments = ['--images', data / 'leftImg8bit', *models, '--gt', labels, '--html', '--out', out]
    tool.main([str(argument) for argument in [*arguments, '--device', 'cpu']])
    assert pictures(out) == ['comparison.html']
    page = (out / 'comparison.html').read_text(encoding='utf-8')
    assert f'2 images in {out / "comparison.html"} (' in capsys.readouterr().out
    index = json.loads(re.search(r'id="index">(.*?)</script>', page, re.DOTALL)[1])
    assert [image['name'] for image in index['images']] == [
        'val/aachen/aachen_000000_000019',
        'val/bonn/bonn_000000_000019',
    ]
    assert index['models'] == ['ReLU', 'FReLU']
    assert [entry['name'] for entry in index['classes']] == list(CLASSES)
    for image in index['images']:
        assert set(image['scores']) == {'ReLU', 'FReLU'}
        assert set(image['layers']) == {'ReLU', 'FReLU', 'Ground truth'}


@pytest.mark.parametrize('kind', ['png', 'pdf', 'svg'])
def test_one_figure(tool, data, models, kind, capsys):
    out = data / 'out'
    labels = data / 'gtFine' / 'val'
    arguments = [
        '--images',
        data / 'leftImg8bit',
        *models,
        '--gt',
        labels,
        '--one-figure',
        '--format',
        kind,
    ]
    arguments += [
        '--width',
        '8.3cm',
        '--font-size',
        '8',
        '--crop',
        '8,8,64,32',
        '--out',
        out,
        '--device',
        'cpu',
    ]
    tool.main([str(argument) for argument in arguments])
    assert pictures(out) == [f'comparison.{kind}']
    assert f'2 images in {out / f"comparison.{kind}"}' in capsys.readouterr().out
    if kind == 'png':
        with Image.open(out / 'comparison.png') as figure:
            assert figure.width / figure.info['dpi'][0] == pytest.approx(8.3 / 2.54, abs=0.03)


def test_too_many_rows(tool, tmp_path, models, capsys):
    for number in range(31):
        photograph(tmp_path / 'many' / f'{number}.png', (8, 8))
    arguments = ['--images', tmp_path / 'many', *models, '--one-figure', '--out', tmp_path / 'out']
    assert '--images has 31. Give at most 30' in error_of(tool, capsys, arguments)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_folder_that_may_not_be_written_to(tool, data, models, capsys):
    locked = data / 'locked'
    locked.mkdir(mode=0o555)
    arguments = ['--images', data / 'leftImg8bit', *models, '--html', '--out', locked / 'new']
    assert f'you may not write in {locked}' in error_of(tool, capsys, arguments)


def test_one_bad_image_does_not_stop_the_others(tool, data, models, capsys):
    images = data / 'leftImg8bit' / 'val'
    (images / 'aachen' / 'broken_leftImg8bit.png').write_bytes(b'\x89PNG\r\n\x1a\nhalf')
    photograph(images / 'bonn' / 'new_leftImg8bit.png', (96, 48))
    photograph(images / 'bonn' / 'odd_leftImg8bit.png', (90, 48))
    labels = data / 'gtFine' / 'val'
    for city, name, array in (
        ('aachen', 'broken', np.zeros((48, 96), np.uint8)),
        ('bonn', 'odd', np.zeros((48, 96), np.uint8)),
    ):
        Image.fromarray(array).save(labels / city / f'{name}_gtFine_labelTrainIds.png')
    wrong = labels / 'bonn' / 'bonn_000000_000019_gtFine_labelTrainIds.png'
    Image.fromarray(np.full((48, 96), 33, np.uint8)).save(wrong)
    out = data / 'out'
    text = error_of(tool, capsys, ['--images', images, *models, '--gt', labels, '--out', out])
    assert pictures(out) == ['aachen/aachen_000000_000019.png']
    assert '4 of 5 images could not be drawn' in text
    assert 'broken_leftImg8bit.png cannot be read' in text
    assert 'expected new_gtFine_labelTrainIds.png' in text
    assert 'odd_gtFine_labelTrainIds.png is 96x48, its image 90x48' in text
    assert f'{wrong} has labels that are not classes: 33. Expected 0 to 2' in text


def test_crop_outside_an_image_names_image_and_size(tool, data, models, capsys):
    arguments = ['--images', data / 'leftImg8bit', *models, '--out', data / 'out']
    text = error_of(tool, capsys, [*arguments, '--crop', '50,0,60,20'])
    assert 'aachen_000000_000019_leftImg8bit.png' in text
    assert '96x48' in text


def test_models_of_different_classes(tool, data, models, tmp_path, capsys):
    other = write_model(tmp_path, 'Swish', 'SiLU', ('road', 'tree', 'car'))
    fewer = write_model(tmp_path, 'Few', 'ReLU', ('road', 'car'))
    arguments = ['--images', data / 'leftImg8bit', '--out', data / 'out', *models]
    text = error_of(tool, capsys, [*arguments, '--model', *other])
    assert "class 1 is 'pole' for ReLU and 'tree' for Swish" in text
    text = error_of(tool, capsys, [*arguments, '--model', *fewer])
    assert 'ReLU has 3 classes' in text
    assert 'Few 2 (road, car)' in text
    assert not (data / 'out').exists()


def test_models_that_cannot_be_loaded(tool, data, models, tmp_path, capsys):
    relu, frelu = models[1:4], models[5:8]
    start = ['--images', data / 'leftImg8bit', '--out', data / 'out', '--device', 'cpu', '--model']
    missing = tmp_path / 'missing.pth'
    assert str(missing) in error_of(tool, capsys, [*start, 'A', relu[1], missing])
    assert 'missing.py' in error_of(tool, capsys, [*start, 'A', tmp_path / 'missing.py', relu[2]])
    text = error_of(tool, capsys, [*start, 'A', frelu[1], relu[2]])
    assert 'no weights for the activations' in text
    text = error_of(tool, capsys, [*start, 'A', relu[1], frelu[2]])
    assert 'another architecture' in text
    diverged = torch.load(relu[2])
    diverged['state_dict']['decode_head.conv_seg.bias'][:] = float('nan')
    torch.save(diverged, tmp_path / 'diverged.pth')
    text = error_of(tool, capsys, [*start, 'A', relu[1], tmp_path / 'diverged.pth'])
    assert 'has NaN in 1 of its weights, e.g. decode_head.conv_seg.bias' in text
    detector = tmp_path / 'detector.py'
    detector.write_text("default_scope = 'mmdet'\nmodel = dict(type='RetinaNet')")
    text = error_of(tool, capsys, [*start, 'A', detector, relu[2]])
    assert 'detection config' in text
    nameless = tmp_path / 'nameless.py'
    nameless.write_text(Path(frelu[1]).read_text().split('test_dataloader')[0])
    assert 'names the classes' in error_of(tool, capsys, [*start, 'A', nameless, frelu[2]])


def test_weights_of_another_preprocessing_are_a_warning(models, tmp_path, monkeypatch):
    from mm_frelu.visualization.trained_model import load_trained

    said = []
    monkeypatch.setattr(
        'mm_frelu.engine.checkpoint_guard.print_log', lambda message, *_, **__: said.append(message)
    )
    name, config, checkpoint = models[1:4]
    load_trained(name, config, checkpoint)
    assert said == []
    other = torch.load(checkpoint)
    other['meta']['preprocessing'] = dict(mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=False)
    torch.save(other, tmp_path / 'other.pth')
    load_trained(name, config, str(tmp_path / 'other.pth'))
    assert len(said) == 1
    assert said[0].startswith(f'Preprocessing differs: {name}: ')


def test_missing_paths(tool, data, models, capsys):
    images = data / 'leftImg8bit'
    nowhere, empty = data / 'nowhere', data / 'empty'
    empty.mkdir()
    end = [*models, '--out', data / 'out']
    for arguments in (
        ['--images', nowhere, *end],
        ['--images', empty, *end],
        ['--images', images, '--gt', nowhere, *end],
        ['--images', images, '--gt', empty, *end],
    ):
        path = nowhere if nowhere in arguments else empty
        assert str(path) in error_of(tool, capsys, arguments)
    for file in (data / 'gtFine').rglob('*_labelTrainIds.png'):
        file.unlink()
    text = error_of(tool, capsys, ['--images', images, '--gt', data / 'gtFine', *end])
    assert 'csCreateTrainIdLabelImgs' in text
    file = data / 'file'
    file.write_text('')
    text = error_of(tool, capsys, ['--images', images, *models, '--out', file])
    assert f'--out {file} is a file' in text


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without CUDA')
def test_missing_accelerator(tool, data, models, capsys):
    arguments = ['--images', data / 'leftImg8bit', *models, '--out', data / 'out']
    assert '--device cuda:0' in error_of(tool, capsys, [*arguments, '--device', 'cuda:0'])
    assert '--device gpu' in error_of(tool, capsys, [*arguments, '--device', 'gpu'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--opacity', '1.5'], 'from 0 to 1, found 1.5'),
        (['--opacity', 'half'], 'from 0 to 1, found half'),
        (['--opacity', '0.5', '--only-mask'], 'not allowed with'),
        (['--crop', '1,2,3'], 'x,y,w,h'),
        (['--model', 'ReLU', 'a.py', 'b.pth'], "two models are called 'ReLU'"),
        (['--width', '0'], 'from 0.2 to 100 inches'),
        (['--width', '3km'], 'such as 3.25, 8.3cm or 234pt; found 3km'),
        (['--width', '3', '--panel-width', '2'], 'not allowed with'),
        (['--columns', '0'], 'integer of at least 1, found 0'),
        (['--dpi', '-1'], 'above 0, found -1'),
        (['--html', '--one-figure'], 'not allowed with'),
        (['--one-figure', '--columns', '2'], 'the models are the columns'),
        (['--html', '--crop', 'auto'], 'has a zoom'),
        (['--format', 'jpg'], "'png', 'pdf', 'svg'"),
        (['--palette', 'nice'], "'apart', 'dataset'"),
    ],
)
def test_options_that_make_no_sense(tool, models, capsys, options, message):
    text = error_of(tool, capsys, ['--images', 'x', *models, '--out', 'y', *options], code=2)
    assert message in text
