"""Exported networks compute what the models of OpenMMLab do, at several sizes; a deployed FReLU is one Conv and one Max."""

import io
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import random_checkpoints
import torch
from mmengine.config import Config

from mm_frelu.activations import DyReLUA, DyReLUB, DyReLUC, FReLU, LightFReLU
from mm_frelu.deployment import export as exporting
from mm_frelu.deployment.comparison import sizes_to_compare
from mm_frelu.deployment.evaluation import predict
from mm_frelu.deployment.export import Options, export
from mm_frelu.deployment.onnx_file import max_opset, to_onnx
from mm_frelu.deployment.torch_files import DESCRIPTION
from mm_frelu.engine.errors import UserError

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

SHAPE = (64, 128)
LAYERS = (FReLU, LightFReLU, DyReLUA, DyReLUB, DyReLUC)


def exported(files, **options):
    """Export and compare; every picture has to agree."""
    options = Options(**{'shape': SHAPE, 'verify': True, **options})
    result = export(files.cfg, str(files.checkpoint), options, say=lambda text: None)
    assert len(result.comparisons) == 5 * options.verify
    for row in result.comparisons:
        assert row.agrees, row
        assert not row.empty
    return result.content


def operators(content):
    return Counter(node.op_type for node in onnx.load_model_from_string(content).graph.node)


def described(content):
    entries = onnx.load_model_from_string(content).metadata_props
    return {entry.key: json.loads(entry.value) for entry in entries}


def test_sizes_differ_only_where_the_file_takes_them():
    assert sizes_to_compare((64, 128), False) == [(64, 128)] * 5
    sizes = sizes_to_compare((512, 1024), True)
    assert len(set(sizes)) == 5
    assert sizes[0] == (512, 1024)
    assert any(height % 2 and width % 2 for height, width in sizes)


@pytest.mark.parametrize('activation', [layer.__name__ for layer in LAYERS])
def test_pspnet_of_any_size(activation, tmp_path):
    files = random_checkpoints.segmentor(tmp_path, activation)
    content = exported(files, dynamic=True)
    (image,) = onnx.load_model_from_string(content).graph.input
    assert [dim.dim_param for dim in image.type.tensor_type.shape.dim] == [
        'images',
        '',
        'height',
        'width',
    ]


def test_frelu_is_one_convolution_and_one_maximum(tmp_path):
    """12 sites in a ResNet-18 with the paper's placement; the norms of the network are in its convolutions."""
    counts = {}
    for activation in ('ReLU', 'FReLU', 'LightFReLU'):
        files = random_checkpoints.segmentor(tmp_path, activation)
        counts[activation] = operators(exported(files, verify=False, part='backbone'))
    relu, frelu, light = counts.values()
    assert frelu['Conv'] - relu['Conv'] == frelu['Max'] - relu['Max'] == 12
    assert relu['Relu'] - frelu['Relu'] == 12
    assert light['Conv'] - relu['Conv'] == 24
    assert not frelu['BatchNormalization'] + light['BatchNormalization']
    assert sum(frelu.values()) - sum(relu.values()) == 12


def test_logits_of_one_size_and_what_the_file_says_of_itself(tmp_path):
    content = exported(random_checkpoints.segmentor(tmp_path), output='logits')
    words = described(content)
    assert words['task'] == 'segmentation'
    assert words['classes'][:2] == ['road', 'sidewalk']
    assert words['palette'][0] == [128, 64, 128]
    assert words['mean'] == pytest.approx([123.675, 116.28, 103.53])
    with pytest.raises(Exception, match='(?i)got invalid dimensions'):
        exporting.open_onnx(content)(np.zeros((1, 3, 32, 32), np.float32))


@pytest.mark.parametrize('activation', ['FReLU', pytest.param('DyReLUB', marks=pytest.mark.slow)])
def test_retinanet_of_any_size(activation, tmp_path):
    content = exported(random_checkpoints.detector(tmp_path, activation), dynamic=True)
    found = operators(content)
    assert found['NonMaxSuppression'] == 1
    assert not found['Loop'] + found['If']
    words = described(content)
    assert words['resize'] == [dict(type='Resize', scale=[128, 64], keep_ratio=True)]
    assert len(words['classes']) == len(words['palette']) == 10


def test_channels_in_the_order_of_the_network(tmp_path):
    """BGR, other numbers, padding by mmseg's rule: the comparison goes through the config's own preprocessor."""
    settings = random_checkpoints.tiny_project.segmentation(tmp_path, 'ReLU')
    settings['model']['data_preprocessor'].update(
        mean=[10.0, 60.0, 110.0],
        std=[1.0, 30.0, 60.0],
        bgr_to_rgb=False,
        test_cfg=dict(size_divisor=32),
    )
    files = random_checkpoints.write(tmp_path, 'bgr', settings)
    words = described(exported(files, dynamic=True, output='logits'))
    assert words['mean'] == [110.0, 60.0, 10.0]


def test_weights_of_another_preprocessing_are_a_warning(tmp_path, monkeypatch):
    """The file has the preprocessing of the config, and --verify compares it with the same one."""
    found = []
    monkeypatch.setattr(
        'mm_frelu.engine.checkpoint_guard.print_log',
        lambda message, *_, **__: found.append(message),
    )
    files = random_checkpoints.segmentor(tmp_path)
    exported(files, verify=False)
    assert found == []
    checkpoint = torch.load(files.checkpoint, weights_only=False)
    checkpoint['meta']['preprocessing'] = dict(mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=False)
    torch.save(checkpoint, files.checkpoint)
    exported(files, verify=False)
    assert len(found) == 1
    assert found[0].startswith('Preprocessing differs')


def test_an_error_without_a_message_is_named_by_its_type():
    def run(image):
        raise AssertionError

    with pytest.raises(
        UserError, match=r'a.onnx does not run .* 4x5 pixels, .* \(AssertionError\)'
    ):
        predict(run, torch.zeros(3, 4, 5), 'a.onnx')


def test_half_precision_takes_half_the_space(tmp_path):
    files = random_checkpoints.detector(tmp_path)
    full, half = exported(files, verify=False), exported(files, fp16=True)
    assert len(half) < 0.65 * len(full)
    model = onnx.load_model_from_string(half)
    kinds = {
        value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]
    }
    assert onnx.TensorProto.FLOAT16 not in kinds
    assert described(half)['precision'] == 'float16'


@pytest.mark.parametrize('part', ['backbone', pytest.param('heads', marks=pytest.mark.slow)])
def test_parts(part, tmp_path):
    files = random_checkpoints.detector(tmp_path)
    content = exported(files, part=part, dynamic=True)
    names = [output.name for output in onnx.load_model_from_string(content).graph.output]
    count, name = (4, 'features') if part == 'backbone' else (10, 'output')
    assert names == [f'{name}{index}' for index in range(count)]
    assert described(content)['task'] == 'features'


@pytest.mark.parametrize('opset', [11, pytest.param(max_opset(), marks=pytest.mark.slow)])
def test_oldest_and_newest_opset(opset, tmp_path):
    content = exported(random_checkpoints.detector(tmp_path), opset=opset)
    assert onnx.load_model_from_string(content).opset_import[0].version == opset


def test_torchscript(tmp_path):
    files = random_checkpoints.detector(tmp_path)
    content = exported(files, format='torchscript', dynamic=True)
    extra = {DESCRIPTION: ''}
    torch.jit.load(io.BytesIO(content), _extra_files=extra)
    assert json.loads(extra[DESCRIPTION])['task'] == 'detection'


@pytest.mark.slow
def test_torch_export_of_a_backbone(tmp_path):
    files = random_checkpoints.segmentor(tmp_path, 'DyReLUB')
    exported(files, format='exported', shape=(96, 128), dynamic=True, part='backbone')


@pytest.mark.slow
@pytest.mark.parametrize('activation', [layer.__name__ for layer in LAYERS])
@pytest.mark.parametrize('format_', ['torchscript', 'exported'])
def test_whole_pspnet_for_torch(format_, activation, tmp_path):
    files = random_checkpoints.segmentor(tmp_path, activation)
    exported(files, format=format_, shape=(96, 128), dynamic=True)


@pytest.mark.slow
def test_heads_of_a_detector_by_torch_export(tmp_path):
    files = random_checkpoints.detector(tmp_path, 'DyReLUC')
    exported(files, format='exported', shape=(160, 320), dynamic=True, part='heads')


@pytest.mark.parametrize('layer', LAYERS)
def test_a_layer_of_torch_export_has_gradients(layer):
    """The exported program runs where gradients are recorded, and gives those of the layer."""
    torch.manual_seed(0)
    layer = layer(4).eval()
    x = torch.randn(2, 4, 6, 7)
    sizes = dict.fromkeys((2, 3), torch.export.Dim.AUTO)
    program = torch.export.export(layer, (x,), dynamic_shapes=(sizes,)).module()
    x = torch.randn(2, 4, 9, 5)
    results = []
    for module in (layer, program):
        given = x.clone().requires_grad_()
        y = module(given)
        (dx,) = torch.autograd.grad(y.square().sum(), given)
        results.append((y.detach(), dx))
    torch.testing.assert_close(*results)
    with torch.no_grad():
        torch.testing.assert_close(program(x), layer(x))


@pytest.mark.parametrize('layer', LAYERS)
def test_a_traced_layer_takes_other_sizes(layer):
    layer = layer(4).eval()
    traced = torch.jit.trace(layer, torch.randn(1, 4, 6, 7))
    x = torch.randn(3, 4, 9, 5)
    torch.testing.assert_close(traced(x), layer(x))


def test_a_difference_is_seen(tmp_path, monkeypatch):
    """A fold that forgets something: here one bias is moved after the model has given its answer."""
    honest = exporting.fold

    def careless(model):
        counts = honest(model)
        model.backbone.layer1[0].act1.conv.bias.data += 3
        return counts

    monkeypatch.setattr(exporting, 'fold', careless)
    files = random_checkpoints.segmentor(tmp_path)
    with pytest.raises(AssertionError, match='labels equal on'):
        exported(files)


def test_boxes_by_torch_export_are_refused(tmp_path):
    files = random_checkpoints.detector(tmp_path, 'ReLU')
    with pytest.raises(UserError, match='does not support NMS.*--part heads'):
        exported(files, format='exported')


def test_unsupported_operator_is_one_paragraph(tmp_path, monkeypatch):
    def unsupported(network, *args):
        network.pixels.forward = lambda image: torch.linalg.inv(image[..., :64])
        return to_onnx(network, *args)

    monkeypatch.setattr(exporting, 'to_onnx', unsupported)
    files = random_checkpoints.segmentor(tmp_path, 'ReLU')
    with pytest.raises(UserError) as error:
        exported(files, verify=False)
    text = str(error.value)
    assert 'EncoderDecoder cannot be exported to onnx at 64x128 pixels' in text
    assert 'linalg_inv' in text
    assert '\n' not in text


def test_images_of_another_number_of_channels(tmp_path):
    from mm_frelu.deployment.pixels import pixels_of

    cfg = Config(dict(model=dict(data_preprocessor=dict(mean=[1.0] * 4, std=[1.0] * 4))))
    with pytest.raises(UserError, match='three channels'):
        pixels_of(cfg, SimpleNamespace())


def test_padding_to_one_size_is_refused(tmp_path):
    settings = random_checkpoints.tiny_project.segmentation(tmp_path, 'ReLU')
    settings['model']['data_preprocessor']['test_cfg'] = dict(size=(64, 128))
    files = random_checkpoints.write(tmp_path, 'padded', settings)
    with pytest.raises(UserError, match='pads every image to one size'):
        exported(files)
