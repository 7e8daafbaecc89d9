"""The inspection tools from end to end, on tiny trained models: their output, and their errors for bad input."""

import json

import numpy as np
import pytest
import tiny_project
import torch
from PIL import Image

from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.model_builder import build_model
from mm_frelu.ops.eager import funnel_condition

pytestmark = pytest.mark.xdist_group('tools')


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    monkeypatch.setenv('MM_FRELU_IMPLEMENTATION', 'eager')


def tool(name):
    return tiny_project.load_tool(f'visualization/{name}.py')


@pytest.fixture
def undrawn(monkeypatch):
    """Create figures without rendering them, which takes most of the time, for tests of the numbers."""
    monkeypatch.setattr('mm_frelu.visualization.comparison.save_figure', lambda figure, path: path)


def fails(capsys, name, *arguments):
    """The message of a tool that ends with exit code 1."""
    with pytest.raises(SystemExit) as ended:
        tool(name).main([str(argument) for argument in arguments])
    assert ended.value.code == 1
    return capsys.readouterr().err


def run(name, *arguments):
    tool(name).main([str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """The same image in different file formats."""
    folder = tmp_path_factory.mktemp('photographs')
    rows, columns = np.mgrid[0:64, 0:128]
    picture = np.stack([rows * 4, columns * 2, rows * 0 + 90], axis=2).astype(np.uint8)
    rgb = Image.fromarray(picture)
    rgb.convert('L').save(folder / 'grey.png')
    Image.fromarray(picture[..., 0].astype(np.uint16) * 257).save(folder / 'sixteen.png')
    rgb.convert('RGBA').save(folder / 'rgba.png')
    rgb.convert('CMYK').save(folder / 'cmyk.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.rotate(90, expand=True).save(folder / 'turned.jpg', exif=exif)
    return folder


def test_activation_field_of_a_test_set(segmentor, tmp_path, capsys):
    run(
        'activation_field',
        segmentor.config,
        segmentor.checkpoint,
        '--num-images',
        2,
        '--out',
        tmp_path,
    )
    assert sorted(path.name for path in tmp_path.glob('*.png'))[:1] == ['choices.png']
    assert len(list(tmp_path.glob('*_field.png'))) == 2
    assert (tmp_path / 'windows.png').is_file()
    said = capsys.readouterr().out
    assert str(tmp_path / 'choices.png') in said
    assert '2/2' in said
    content = json.loads((tmp_path / 'activation_field.json').read_text())
    rows = {row['layer']: row for row in content['layers']}
    assert len(rows) == 12
    # The first layer, counted without any of the tool's code: from the pictures to the comparison of both sides.
    model = build_model(read_config(str(segmentor.config)))
    model.load_state_dict(torch.load(segmentor.checkpoint, weights_only=False)['state_dict'])
    paths = sorted((segmentor_root(segmentor) / 'leftImg8bit/val').rglob('*.png'))
    chosen = []
    for path in paths[0], paths[2]:
        image = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).float()[None]
        mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
        std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
        net = model.backbone
        with torch.no_grad():
            x = net.maxpool(torch.relu(net.norm1(net.conv1((image - mean) / std))))
            x = net.layer1[0].norm1(net.layer1[0].conv1(x))
            chosen.append(funnel_condition(x, net.layer1[0].act1.windows) > x)
    share = torch.cat(chosen).float().mean(dim=(0, 2, 3))
    first = rows['backbone.layer1.0.act1']
    assert first['window_share_of_channels'] == pytest.approx(share.tolist(), abs=1e-3)
    assert first['window_share'] == pytest.approx(float(share.mean()), abs=1e-3)
    assert all(sum(row['field'].values()) == pytest.approx(1) for row in rows.values())


def segmentor_root(segmentor):
    from pathlib import Path

    return Path(read_config(str(segmentor.config)).test_dataloader.dataset.data_root)


def test_photographs_of_every_kind(segmentor, photographs, tmp_path):
    run('activation_field', segmentor.config, segmentor.checkpoint, '--images', photographs, '--out', tmp_path,
        '--layers', 'backbone.layer2', 'decode_head.bottleneck')  # fmt: skip
    names = {'grey', 'sixteen', 'rgba', 'cmyk', 'turned'}
    assert {path.name for path in tmp_path.glob('*_field.png')} == {f'{n}_field.png' for n in names}


def test_panoramas_are_reduced_and_broken_files_left_out(segmentor, tmp_path, capsys):
    folder = tmp_path / 'in'
    folder.mkdir()
    Image.new('RGB', (20000, 40), 'green').save(folder / 'panorama.png')
    (folder / 'broken.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    with pytest.raises(SystemExit):
        run(
            'activation_field',
            segmentor.config,
            segmentor.checkpoint,
            '--images',
            folder,
            '--out',
            out,
        )
    said = capsys.readouterr()
    assert '20000x40 pixels, reduced to 2048x4 before the test pipeline' in said.out
    assert '1 image was left out' in said.err
    assert 'broken.png cannot be read as an image' in said.err
    assert (out / 'panorama_field.png').is_file()


def test_detectors_and_other_activations(detector, tmp_path, capsys, undrawn):
    run(
        'activation_field',
        detector.config,
        detector.checkpoint,
        '--num-images',
        1,
        '--out',
        tmp_path,
    )
    assert '_field.png' in capsys.readouterr().out
    error = fails(capsys, 'dyrelu_inspect', detector.config, detector.checkpoint, '--out', tmp_path)
    assert 'has no DyReLUA, DyReLUB or DyReLUC' in error
    assert '--act DyReLUB' in error


def test_activations_put_in_by_an_option(relu_segmentor, tmp_path, undrawn):
    run('activation_field', relu_segmentor.config, relu_segmentor.checkpoint, '--num-images', 1,
        '--act', 'FReLU', '--act-cfg', 'init=identity', '--out', tmp_path)  # fmt: skip
    rows = json.loads((tmp_path / 'activation_field.json').read_text())['layers']
    # ReLU still: where the window is chosen it is zero, and no value came by one.
    assert all(row['window_share'] > 0 and row['mean_side'] == pytest.approx(1) for row in rows)


@pytest.mark.slow  # folding runs the model in both forms
def test_folded_activations_choose_as_before(segmentor, tmp_path, undrawn):
    deployed = tmp_path / 'deployed.pth'
    tiny_project.load_tool('model_converters/reparameterize_model.py').main(
        [str(segmentor.config), str(segmentor.checkpoint), str(deployed)]
    )
    numbers = []
    for name, config, checkpoint in (
        ('plain', segmentor.config, segmentor.checkpoint),
        ('folded', deployed.with_suffix('.py'), deployed),
    ):
        run('activation_field', config, checkpoint, '--num-images', 1, '--out', tmp_path / name)
        numbers.append(
            json.loads((tmp_path / name / 'activation_field.json').read_text())['layers']
        )
    for plain, folded in zip(*numbers):
        assert folded['window_share'] == pytest.approx(plain['window_share'], abs=2e-3)


def test_layers_that_are_not_there(segmentor, relu_segmentor, capsys, tmp_path):
    model = (segmentor.config, segmentor.checkpoint)
    error = fails(
        capsys, 'activation_field', *model, '--out', tmp_path, '--layers', 'backbone.layer7'
    )
    assert 'no such layer' in error
    assert 'backbone.layer1' in error
    error = fails(
        capsys, 'activation_field', *model, '--out', tmp_path, '--layers', 'auxiliary_head.convs.0'
    )
    assert 'auxiliary_head.convs.0 does not run when the model is tested' in error
    both = [
        '--model',
        'a',
        *model,
        '--model',
        'b',
        relu_segmentor.config,
        relu_segmentor.checkpoint,
    ]
    error = fails(
        capsys,
        'feature_compare',
        *both,
        '--layer',
        'backbone.layer1.0.act1.conv',
        '--out',
        tmp_path,
    )
    assert '--layer backbone.layer1.0.act1.conv: b has no such layer' in error
    assert 'backbone.layer1.0.act1' in error
    error = fails(
        capsys,
        'activation_field',
        relu_segmentor.config,
        relu_segmentor.checkpoint,
        '--out',
        tmp_path,
    )
    assert 'has no FReLU or LightFReLU. --act FReLU adds them' in error
    error = fails(
        capsys, 'activation_field', segmentor.config, relu_segmentor.checkpoint, '--out', tmp_path
    )
    assert 'no weights for the activations' in error


def test_folders_and_pixels_that_cannot_be(segmentor, capsys, tmp_path):
    model = (segmentor.config, segmentor.checkpoint)
    (tmp_path / 'file').write_text('')
    assert 'is a file; give a folder' in fails(
        capsys, 'activation_field', *model, '--out', tmp_path / 'file'
    )
    both = ['--model', 'a', *model, '--model', 'b', *model, '--layer', 'backbone.layer1']
    error = fails(capsys, 'feature_compare', *both, '--pixel', '500,3', '--out', tmp_path)
    assert '--pixel 500,3 is outside of the image, which has 128x64 pixels' in error
    error = fails(capsys, 'feature_compare', *both, '--channels', '8', '--out', tmp_path)
    assert 'has the channels 0 to 7 in both models' in error


def test_feature_compare(segmentor, relu_segmentor, photographs, tmp_path):
    run('feature_compare', '--model', 'ReLU', relu_segmentor.config, relu_segmentor.checkpoint,
        '--model', 'FReLU', segmentor.config, segmentor.checkpoint, '--layer', 'backbone.layer2',
        '--images', photographs / 'turned.jpg', '--pixel', '127,0', '--channels', 3, '--out', tmp_path)  # fmt: skip
    assert (tmp_path / 'turned_backbone.layer2.png').is_file()
    relu, frelu = json.loads((tmp_path / 'feature_compare.json').read_text())['rows']
    assert (relu['model'], frelu['model']) == ('ReLU', 'FReLU')
    assert min(relu['means']) >= 0
    assert relu['shape'] == frelu['shape'] == [16, 8, 16]


def test_dyrelu_inspect(street_scenes, tmp_path):
    config = tiny_project.write_config(
        tmp_path / 'dy.py', tiny_project.segmentation(street_scenes, 'DyReLUC')
    )
    checkpoint = tmp_path / 'dy.pth'
    torch.save(dict(state_dict=build_model(read_config(str(config))).state_dict()), checkpoint)
    out = tmp_path / 'out'
    run(
        'dyrelu_inspect',
        config,
        checkpoint,
        '--num-images',
        2,
        '--layers',
        '*layer[12]*',
        '--out',
        out,
    )
    written = {path.name for path in out.iterdir()}
    assert {'scatter.png', 'slopes.png', 'coefficients.png', 'dyrelu.json'} <= written
    attention = [name for name in written if name.endswith('_attention.png')]
    assert len(attention) == 2
    content = json.loads((out / 'dyrelu.json').read_text())
    assert len(content['images']) == 2
    assert [row['layer'].split('.')[1] for row in content['layers']] == ['layer1'] * 4 + [
        'layer2'
    ] * 4
