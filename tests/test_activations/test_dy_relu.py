"""DY-ReLU A, B and C as layers: starts, checks, memory, types, compilation, export."""

import copy
import pickle

import pytest
import torch
from dy_relu_samples import LAYERS, image, randomise
from mmcv.cnn import ConvModule, build_activation_layer
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from torch import nn

from mm_frelu import DyReLUA, DyReLUB, DyReLUC, build_activation

IDENTITY = [
    pytest.param(DyReLUA, {}, id='A'),
    pytest.param(DyReLUB, {}, id='B'),
    pytest.param(DyReLUC, dict(attention_mean=1.0), id='C'),
]


@pytest.mark.parametrize(('layer_class', 'options'), IDENTITY)
@pytest.mark.parametrize(
    'more',
    [{}, dict(num_pieces=4), dict(intercept=False), dict(gate='hard_sigmoid'), dict(lambda_a=2.0)],
)
def test_identity_start_is_relu_bit_for_bit(layer_class, options, more):
    layer = layer_class(8, init='identity', **options, **more)
    x = image(2, 8, 7, 7)
    x[:, :, 0] = 0
    grad = image(2, 8, 7, 7)
    ours, relu = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = layer(ours)
    assert torch.equal(out, torch.relu(x))
    out.backward(grad)
    torch.relu(relu).backward(grad)
    if layer_class is DyReLUC:
        return  # its attention has a gradient of its own; that of the others is ReLU's
    assert torch.equal(ours.grad, relu.grad)


@pytest.mark.parametrize(('layer_class', 'options'), IDENTITY)
@pytest.mark.parametrize('num_pieces', [2, 3])
def test_identity_start_does_not_stay(layer_class, options, num_pieces):
    """Every piece gets off the ground, the ones that started equal too."""
    torch.manual_seed(0)
    layer = layer_class(8, init='identity', num_pieces=num_pieces, **options)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for step in range(6):
        x = image(4, 8, 6, 6) * (1 + step)
        loss = (layer(x) - x.abs()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(parameter.grad.any() for parameter in layer.parameters())
    slopes, _ = layer.coefficients(x)
    for k in range(num_pieces - 1):
        assert (slopes[k] != slopes[k + 1]).any()


@pytest.mark.parametrize(('layer_class', 'options'), IDENTITY)
def test_identity_start_outlives_a_parents_init(layer_class, options):
    class Parent(BaseModule):
        def __init__(self):
            super().__init__(dict(type='Constant', val=1, bias=1, layer=['Linear', 'Conv2d']))
            self.act = layer_class(8, init='identity', **options)

    parent = Parent()
    x = image(2, 8, 6, 7)
    for _ in range(2):  # the second time MMEngine leaves all as it is
        parent.init_weights()
        assert torch.equal(parent.act(x), torch.relu(x))


@pytest.mark.parametrize('layer_class', LAYERS)
def test_paper_start(layer_class):
    """Near (1, 0) and (0, 0), and nothing but the input moves it."""
    layer = layer_class(64)
    x = torch.zeros(2, 64, 5, 5)
    slopes, intercepts = layer.coefficients(x)
    assert (slopes[0] == 1).all()
    assert (slopes[1] == 0).all()
    assert (intercepts == 0).all()
    slopes, intercepts = layer.coefficients(image(2, 64, 5, 5))
    assert (slopes[0] - 1).abs().max() < 0.5
    assert slopes[1].abs().max() < 0.5
    assert intercepts.any()


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'mmseg', 'mmpretrain'])
@pytest.mark.parametrize('layer_class', LAYERS)
def test_builds_under_every_default_scope(scope, layer_class):
    with DefaultScope.overwrite_default_scope(scope):
        layer = build_activation(
            dict(type=layer_class.__name__), 64, inplace=True, norm_cfg=dict(type='BN')
        )
    assert type(layer) is layer_class
    assert layer.num_channels == 64


@pytest.mark.parametrize('layer_class', LAYERS)
def test_inside_conv_module(layer_class):
    act_cfg = dict(type=layer_class.__name__, num_channels=8)
    module = ConvModule(3, 8, 3, padding=1, act_cfg=act_cfg)
    assert module(image(2, 3, 6, 7)).shape == (2, 8, 6, 7)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_missing_channels_say_what_to_write(layer_class):
    name = layer_class.__name__
    with pytest.raises(TypeError, match=rf"act_cfg=dict\(type='{name}', num_channels"):
        build_activation_layer(dict(type=name))


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_channels=0), 'num_channels must be a positive integer, got 0'),
        (dict(num_pieces=0), 'num_pieces must be a positive integer'),
        (dict(num_pieces=2.0), 'num_pieces must be a positive integer, got 2.0'),
        (dict(reduction=0), 'reduction must be a positive integer'),
        (dict(lambda_a=0), 'lambda_a must be a positive number, got 0'),
        (dict(lambda_b=float('nan')), 'lambda_b must be a positive number, got nan'),
        (dict(lambda_b='1'), "lambda_b must be a positive number, got '1'"),
        (dict(intercept='no'), "intercept must be True or False, got 'no'"),
        (dict(gate='tanh'), "gate must be one of sigmoid, hard_sigmoid; got 'tanh'"),
        (dict(init='zero'), "init must be one of paper, identity; got 'zero'"),
        (
            dict(init='identity', num_pieces=1, num_channels=8),
            'ReLU, which has two pieces; num_pieces=1',
        ),
    ],
)
def test_wrong_options(layer_class, options, message):
    with pytest.raises(ValueError, match=f'{layer_class.__name__}: .*{message}'):
        layer_class(**{'num_channels': 8, **options})


def test_wrong_options_of_c():
    with pytest.raises(ValueError, match='DyReLUC: temperature must be a positive number, got 0'):
        DyReLUC(8, temperature=0)
    with pytest.raises(
        ValueError, match=r'exactly ReLU only with attention_mean=1.0, got 0.33.*DyReLUB'
    ):
        DyReLUC(8, init='identity')


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('options', [{}, dict(num_pieces=3), dict(intercept=False)])
def test_gradcheck(layer_class, options):
    layer = randomise(layer_class(4, reduction=1, **options).double())
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values)), (x,))

    parameters = [value.detach().requires_grad_() for value in layer.parameters()]
    x = image(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))
    assert torch.autograd.gradgradcheck(run, (x, *parameters), atol=1e-4)


def kept_maps(layer, x):
    """Storage kept for backward, in copies of the input."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(kept.values()) / x.untyped_storage().nbytes()


@pytest.mark.parametrize('num_pieces', [2, 8])
def test_backward_keeps_no_copy_per_piece(num_pieces):
    """The input; for C also the attention and the few maps of one channel that it comes from."""
    x = image(1, 32, 128, 128, requires_grad=True)
    for layer_class in (DyReLUA, DyReLUB):
        assert kept_maps(layer_class(32, num_pieces=num_pieces), x) < 1.02
    assert kept_maps(DyReLUC(32, num_pieces=num_pieces), x) < 1 + 6.2 / 32


@pytest.mark.parametrize('layer_class', LAYERS)
def test_channels_last_is_kept(layer_class):
    x = image(2, 8, 9, 11).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = randomise(layer_class(8)).to(memory_format=torch.channels_last)
    out = layer(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, copy.deepcopy(layer)(x.contiguous()))
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_autocast_keeps_the_type(layer_class, dtype):
    """A feature map in half precision stays one, and the values are those of full precision within its rounding."""
    layer = randomise(layer_class(8))
    x = image(2, 8, 9, 11).to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), layer(x.float()), rtol=0.05, atol=0.05)
    out.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


@pytest.mark.whole_graph
@pytest.mark.parametrize('layer_class', LAYERS)
def test_compile_gives_the_same(layer_class):
    layer = randomise(layer_class(8, num_pieces=3))
    compiled = torch.compile(layer, fullgraph=True, backend='eager')
    inputs = [image(2, 8, 9, 11, requires_grad=True) for _ in range(2)]
    outs = [run(x) for run, x in zip((layer, compiled), inputs)]
    torch.testing.assert_close(*outs)
    for out in outs:
        out.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('gate', ['sigmoid', 'hard_sigmoid'])
def test_exported_layer_computes_the_same(layer_class, gate, tmp_path):
    """At another batch and image size than it was exported with."""
    runtime = pytest.importorskip('onnxruntime', reason='the export extra is not installed')
    layer = randomise(layer_class(8, gate=gate)).eval()
    path = tmp_path / 'layer.onnx'
    axes = {0: 'batch', 2: 'height', 3: 'width'}
    torch.onnx.export(
        layer,
        (image(1, 8, 9, 11),),
        str(path),
        dynamo=False,
        input_names=['x'],
        dynamic_axes={'x': axes},
    )
    x = image(3, 8, 6, 5)
    (out,) = runtime.InferenceSession(str(path)).run(None, {'x': x.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), layer(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_copies_and_pickles(layer_class):
    layer = randomise(layer_class(8, num_pieces=3, gate='hard_sigmoid'))
    x = image(2, 8, 6, 7)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert repr(twin) == repr(layer)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_empty_batch(layer_class):
    assert layer_class(8)(torch.zeros(0, 8, 7, 7)).shape == (0, 8, 7, 7)


@pytest.mark.parametrize('layer_class', LAYERS)
def test_untrained_is_noticed(layer_class):
    layer = layer_class(8)
    assert layer.is_untrained()
    assert layer.can_learn()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(image(2, 8, 6, 7)).square().sum().backward()
    optimizer.step()
    assert not layer.is_untrained()
    for parameter in layer.parameters():
        parameter.requires_grad = False
    assert not layer.can_learn()
    assert not nn.Module.to(layer, 'meta').is_untrained()


@pytest.mark.parametrize('layer_class', LAYERS)
def test_wrong_input_names_both_numbers(layer_class):
    layer = layer_class(8)
    name = layer_class.__name__
    with pytest.raises(ValueError, match=rf'{name} was built for 8 channels.*\(2, 6, 5, 4\)'):
        layer(image(2, 6, 5, 4))
    with pytest.raises(ValueError, match=rf'{name} .*8 channels.*\(8, 5, 4\)'):
        layer(image(8, 5, 4))
    with pytest.raises(TypeError, match=f'{name} takes a tensor.*ndarray.*as_tensor'):
        layer(image(2, 8, 5, 4).numpy())


@pytest.mark.parametrize('layer_class', LAYERS)
def test_inplace_does_nothing(layer_class):
    layer = randomise(layer_class(8, inplace=True))
    x = image(2, 8, 5, 4)
    kept = x.clone()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            layer(x)
        assert torch.equal(x, kept)


@pytest.mark.whole_graph
@pytest.mark.parametrize('layer_class', LAYERS)
@pytest.mark.parametrize('implementation', ['auto', 'recompute'])
def test_torch_export_runs_with_gradients_on(layer_class, implementation):
    """The program is made of torch's operators alone, and gives values and gradients of the layer."""
    layer = randomise(layer_class(8, implementation=implementation))
    program = torch.export.export(layer, (image(2, 8, 5, 4),))
    assert 'mm_frelu' not in str(program.graph)
    assert 'out=' not in str(program.graph)
    exported, inputs = program.module(), []
    for run in (layer, exported):
        inputs.append(image(2, 8, 5, 4, requires_grad=True))
        run(inputs[-1]).sin().sum().backward()
    torch.testing.assert_close(exported(inputs[0]), layer(inputs[0]))
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_buffers_are_no_part_of_the_state():
    """Checkpoints of earlier versions fit."""
    assert set(DyReLUB(8).state_dict()) == {'fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias'}
    assert randomise(DyReLUB(8, lambda_a=0.7)).half().start.dtype == torch.int8
