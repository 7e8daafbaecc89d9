"""tools/deployment: from a checkpoint to an ONNX file, to int8, to pictures without torch; and what users get wrong."""

import json
import re
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tiny_project
from PIL import Image

from mm_frelu.visualization.overlay import nearest_labels, paint_labels

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

pytestmark = pytest.mark.xdist_group('deployment')  # one process: the exported files are shared


@pytest.fixture(scope='module')
def tool():
    return tiny_project.load_tool('deployment/export_onnx.py')


@pytest.fixture(scope='module')
def quantize():
    return tiny_project.load_tool('deployment/quantize_onnx.py')


@pytest.fixture(scope='module')
def run_onnx():
    """The tool, with its folder on sys.path, like when it runs as a script."""
    folder = str(tiny_project.REPOSITORY / 'tools/deployment')
    sys.path.insert(0, folder)
    try:
        tool = tiny_project.load_tool('deployment/run_onnx.py')
        yield SimpleNamespace(
            main=tool.main, model=sys.modules['onnx_model'], pictures=sys.modules['onnx_pictures']
        )
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope='module')
def exported(tool, segmentor, detector, tmp_path_factory):
    """Both networks, exported for images of any size, to a folder that did not exist."""
    folder = tmp_path_factory.mktemp('exported') / 'new'
    files = {}
    for name, model in dict(segmentor=segmentor, detector=detector).items():
        files[name] = folder / f'{name}.onnx'
        tool.main([str(model.config), str(model.checkpoint), str(files[name]), '--dynamic'])
    return SimpleNamespace(**files)


def images_of(street_scenes):
    return sorted((street_scenes / 'leftImg8bit/val').rglob('*.png'))


def refused(main, arguments, capsys, code=1):
    with pytest.raises(SystemExit) as error:
        main([str(argument) for argument in arguments])
    assert error.value.code == code
    return capsys.readouterr().err


def test_export_says_what_it_does(tool, segmentor, tmp_path, capsys):
    out = tmp_path / 'logits.onnx'
    arguments = [segmentor.config, segmentor.checkpoint, out, '--shape', 64, 96]
    tool.main([*map(str, arguments), '--verify', '--output', 'logits'])
    printed = capsys.readouterr().out
    assert 'Folded the norms of 12 FReLU' in printed
    assert printed.count('64x96 ') == 6  # the trace, and a row for each picture
    assert printed.count('agrees') == 5
    assert f'{out}: {out.stat().st_size / 1e6:.1f} MB' in printed
    model = onnx.load(out)
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 96]


def test_pictures_without_torch(exported, street_scenes, tmp_path):
    """In a separate process, with copies of the three files, and with imports of torch and mmengine blocked."""
    for name in ('run_onnx.py', 'onnx_model.py', 'onnx_pictures.py'):
        shutil.copy(tiny_project.REPOSITORY / 'tools/deployment' / name, tmp_path)
    images = images_of(street_scenes)
    arguments = [str(images[0]), str(images[1].parent), str(exported.segmentor), '--out-dir', 'out']
    code = (
        'import sys, runpy\n'
        f'sys.argv = ["run_onnx.py", *{arguments!r}]\n'
        f'sys.path.insert(0, {str(tmp_path)!r})\n'
        'runpy.run_path("run_onnx.py", run_name="__main__")\n'
        'heavy = {"torch", "mmengine", "mmcv", "mm_frelu"} & set(sys.modules)\n'
        'assert not heavy, heavy\n'
    )
    result = tiny_project.run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH='')
    assert result.returncode == 0, result.stdout
    assert f'5 pictures in {tmp_path / "out"}' in result.stdout
    assert f'{images[0]}: ' in result.stdout
    # The first image is named and in the folder.
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert sorted([*(image.name for image in images), f'{images[0].stem}_2.png']) == names


def test_labels_are_those_of_test_py(exported, segmentor, street_scenes, run_onnx, tmp_path):
    predictions = tmp_path / 'predictions'
    arguments = [segmentor.config, segmentor.checkpoint, '--out', predictions]
    test = tiny_project.load_tool('test.py')
    test.main([*map(str, arguments), '--work-dir', str(tmp_path / 'work')])
    model = run_onnx.model.OnnxModel(exported.segmentor)
    for image in images_of(street_scenes):
        found = model.predict(run_onnx.model.read_image(image))['labels']
        wanted = np.asarray(Image.open(next(predictions.rglob(f'{image.stem}.png'))))
        assert (found == wanted).mean() >= 0.9999


def test_colours_are_those_of_the_other_pictures(run_onnx):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    labels = rng.integers(0, 5, (20, 30))
    palette = rng.integers(0, 256, (5, 3), np.uint8)
    for opacity in (0.65, 0, 1):
        painted = run_onnx.pictures.paint(image, labels, palette, opacity)
        np.testing.assert_array_equal(painted, paint_labels(image, labels, palette, opacity))
    names = [f'class {index}' for index in range(5)]
    picture = np.asarray(run_onnx.pictures.draw_labels(image, labels, palette, names, 1.0))
    times = run_onnx.pictures.enlargement(image)
    large = palette[labels].repeat(times, 0).repeat(times, 1)
    np.testing.assert_array_equal(picture[: 20 * times, : 30 * times], large)
    assert (picture[-1] == 255).all()  # below the legend


def test_boxes_are_those_of_test_py(exported, detector, street_scenes, run_onnx, tmp_path):
    """The test pipeline does not resize here, so that both read, predict and measure the same images."""
    import pickle

    predictions = tmp_path / 'predictions.pkl'
    arguments = [detector.config, detector.checkpoint, '--out', predictions]
    test = tiny_project.load_tool('test.py')
    test.main([*map(str, arguments), '--work-dir', str(tmp_path / 'work')])
    model = run_onnx.model.OnnxModel(exported.detector)
    for result in pickle.loads(predictions.read_bytes()):
        found = model.predict(run_onnx.model.read_image(result['img_path']))
        wanted = result['pred_instances']
        np.testing.assert_allclose(found['scores'], wanted['scores'], rtol=1e-3)
        np.testing.assert_allclose(found['boxes'], wanted['bboxes'], rtol=1e-3, atol=1e-3)
        assert found['labels'].tolist() == wanted['labels'].tolist()


def test_boxes_come_back_in_pixels_of_the_image(exported, street_scenes, run_onnx):
    """The steps in the file reduce an image that is twice as large; its boxes are twice as large."""
    image = run_onnx.model.read_image(images_of(street_scenes)[0])
    model = run_onnx.model.OnnxModel(exported.detector)
    double = cv2.resize(image, (256, 128), interpolation=cv2.INTER_NEAREST)
    boxes = [model.predict(picture)['boxes'] for picture in (image, double)]
    np.testing.assert_allclose(boxes[1], 2 * boxes[0], atol=2)


def test_a_file_of_one_size_takes_other_images(tool, segmentor, run_onnx, tmp_path):
    """A tall image is put into the wide input with the mean colour around it, and its labels come back in its own size."""
    out = tmp_path / 'fixed.onnx'
    arguments = [segmentor.config, segmentor.checkpoint, out, '--shape', 64, 128]
    tool.main([*map(str, arguments)])
    model = run_onnx.model.OnnxModel(out)
    image = np.random.default_rng(0).integers(0, 256, (96, 48, 3), np.uint8)
    labels = model.predict(image)['labels']
    assert labels.shape == (96, 48)
    inside = np.empty((64, 128, 3), np.uint8)
    inside[:] = (124, 116, 104)
    inside[:, :32] = cv2.resize(image, (32, 64))
    wanted = model.predict(inside)['labels'][:, :32]
    np.testing.assert_array_equal(labels, nearest_labels(wanted, (48, 96)))


def test_int8_and_what_it_costs(quantize, exported, segmentor, tmp_path, capsys):
    out = tmp_path / 'int8.onnx'
    quantize.main([str(segmentor.config), str(exported.segmentor), str(out), '--calibration', '3'])
    printed = capsys.readouterr().out
    assert 'mIoU' in printed
    assert 'int8 loses' in printed or 'int8 gains' in printed
    assert 'calibrated on 3 images' in printed
    assert out.stat().st_size < 0.7 * exported.segmentor.stat().st_size
    model = onnx.load(out)
    kinds = {node.op_type for node in model.graph.node}
    assert {'QuantizeLinear', 'DequantizeLinear'} <= kinds
    words = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert words['precision'] == 'int8'
    assert len(words['classes']) == 19
    # The metric of the file in single precision is that of tools/test.py.
    test = tiny_project.load_tool('test.py')
    arguments = [segmentor.config, segmentor.checkpoint, '--work-dir', tmp_path / 'work']
    tiny_project.forget_runs()
    test.main([*map(str, arguments)])
    log = next((tmp_path / 'work').glob('*/*.json')).read_text()
    miou = json.loads(log.splitlines()[-1])['mIoU']
    (row,) = [line for line in printed.splitlines() if '│ mIoU' in line]
    assert float(row.split('│')[2]) == pytest.approx(miou, abs=0.02)


def test_int8_of_a_detector_keeps_its_box_arithmetic(
    quantize, exported, detector, tmp_path, capsys
):
    out = tmp_path / 'int8.onnx'
    arguments = [detector.config, exported.detector, out, '--images', exported_images(detector)]
    quantize.main([*map(str, arguments), '--calibration', '2'])
    printed = capsys.readouterr().out
    assert 'coco/bbox_mAP' in printed
    model = onnx.load(out)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    quantized = {
        made.get(node.input[0]) for node in model.graph.node if node.op_type == 'QuantizeLinear'
    }
    assert not quantized & {'Exp', 'Sigmoid', 'Gather', 'Clip', 'NonMaxSuppression'}


def exported_images(model):
    from mmengine.config import Config

    dataset = Config.fromfile(model.config).val_dataloader.dataset
    return f'{dataset.data_root}/{dataset.data_prefix.img}'


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--opset', '5'], '--opset 5: PyTorch .* supports opsets 11 to'),
        (['--shape', '0', '64'], '--shape 0 64: give two positive numbers'),
        (['--images', 'a.png'], '--verify, which is missing'),
        (['--format', 'exported'], 'files that end with .pt2'),
    ],
)
def test_options_that_cannot_work(extra, message, tool, segmentor, tmp_path, capsys):
    out = tmp_path / 'new' / 'out.onnx'
    error = refused(tool.main, [segmentor.config, segmentor.checkpoint, out, *extra], capsys)
    assert re.search(message, error), error
    assert error.count('\n') == 1
    assert not out.parent.exists()


def test_checkpoints_that_are_missing_or_of_another_model(
    tool, segmentor, detector, tmp_path, capsys
):
    out = tmp_path / 'out.onnx'
    error = refused(tool.main, [segmentor.config, out], capsys, code=2)
    assert 'required: OUT' in error
    error = refused(tool.main, [segmentor.config, tmp_path / 'no.pth', out], capsys)
    assert 'CKPT: ' in error
    assert 'does not exist' in error
    error = refused(tool.main, [segmentor.config, detector.checkpoint, out], capsys)
    assert 'another architecture' in error
    assert not out.exists()


def test_missing_packages(
    tool, segmentor, run_onnx, exported, street_scenes, tmp_path, capsys, monkeypatch
):
    for name in ('onnxruntime', 'onnx'):
        monkeypatch.setitem(sys.modules, name, None)
        arguments = [segmentor.config, segmentor.checkpoint, tmp_path / 'out.onnx', '--verify']
        error = refused(tool.main, arguments, capsys)
        assert f'{name} cannot be imported' in error
        assert "pip install 'mm_frelu[export]'" in error
    error = refused(run_onnx.main, [images_of(street_scenes)[0], exported.segmentor], capsys)
    assert "pip install 'mm_frelu[export]'" in error


def test_what_run_onnx_refuses(run_onnx, exported, street_scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = images_of(street_scenes)[0]
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.png').write_bytes(b'no image')
    (tmp_path / 'file').write_text('')
    plain = onnx.load(exported.segmentor)
    del plain.metadata_props[:]
    onnx.save(plain, 'plain.onnx')
    onnx.helper.set_model_props(plain, dict(task='detect', stride='32'))  # as other exporters write
    onnx.save(plain, 'other.onnx')
    model = exported.segmentor
    for arguments, message in (
        (['no.png', model], 'IMAGE no.png: there is no such file or folder'),
        (['empty', model], 'have no image'),
        ([model, image], 'Give images first, the model last'),
        ([image, 'no.onnx'], 'MODEL no.onnx: there is no such file'),
        ([image, 'plain.onnx'], 'Export it with tools/deployment/export_onnx.py'),
        ([image, 'other.onnx'], 'MODEL other.onnx was not written by tools/deployment/export_onnx'),
        ([image, model, '--out-dir', 'file'], '--out-dir: file'),
    ):
        error = refused(run_onnx.main, arguments, capsys)
        assert message in error, error
    refused(run_onnx.main, [image, model, '--opacity', 2], capsys, code=2)
    # The image beside it is drawn, and nothing half-written stays.
    error = refused(run_onnx.main, ['bad.png', image, model, '--out-dir', 'out'], capsys)
    assert '1 of 2 images failed:\n  bad.png cannot be read as an image' in error
    assert [path.name for path in (tmp_path / 'out').iterdir()] == [image.name]


def test_what_quantize_onnx_refuses(quantize, tool, exported, segmentor, tmp_path, capsys):
    half = tmp_path / 'half.onnx'
    tool.main([str(segmentor.config), str(segmentor.checkpoint), str(half), '--fp16'])
    out = tmp_path / 'int8.onnx'
    (tmp_path / 'bad.onnx').write_text('no model')
    other = onnx.load(exported.segmentor)
    onnx.helper.set_model_props(other, dict(task='detect', stride='32'))
    onnx.save(other, tmp_path / 'other.onnx')
    for model, message in (
        (tmp_path / 'other.onnx', 'MODEL was not written by export_onnx.py'),
        (half, 'Export it without --fp16'),
        (exported.detector, 'MODEL is for detection, but the config is for segmentation'),
        (tmp_path / 'no.onnx', 'there is no such file'),
        (tmp_path / 'bad.onnx', 'cannot be read as ONNX'),
    ):
        error = refused(quantize.main, [segmentor.config, model, out, '--calibration', 2], capsys)
        assert message in error
        assert error.count('error: ') == 1
    assert not out.exists()
