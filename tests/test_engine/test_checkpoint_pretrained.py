"""Messages about weights of a backbone's init_cfg that do not fit the model or its preprocessing."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule

from mm_frelu.backbones import ResNet
from mm_frelu.engine import UserError
from mm_frelu.engine.checkpoint_pretrained import local_file, watch_pretrained
from mm_frelu.engine.runner import GuardedRunner

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
RAW = dict(mean=[0.0] * 3, std=[1.0] * 3, bgr_to_rgb=False)
FRELU, RELU = dict(type='FReLU'), dict(type='ReLU')


class Segmentor(BaseModule):
    """A backbone, and a head that is in no checkpoint."""

    def __init__(self, init_cfg, depth=50, **options):
        super().__init__()
        self.backbone = ResNet(depth, base_channels=4, init_cfg=init_cfg, **options)
        self.head = torch.nn.Linear(2, 2)


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(
        'mm_frelu.engine.checkpoint_guard.print_log',
        lambda message, *_, **__: found.append(message),
    )
    return found


@pytest.fixture(scope='module')
def weights():
    """A backbone with windows, by depth."""
    return {depth: ResNet(depth, base_channels=4).state_dict() for depth in (18, 50)}


def write(path, state, prefix='', **meta):
    state = {f'{prefix}{name}': tensor for name, tensor in state.items()}
    torch.save(dict(meta=meta, state_dict=state) if meta else state, path)
    return str(path)


def initialise(checkpoint, pixels=IMAGENET, prefix=None, scope=None, **options):
    model = Segmentor(dict(type='Pretrained', checkpoint=checkpoint, prefix=prefix), **options)
    cfg = Config(dict(model=dict(data_preprocessor=pixels), default_scope=scope))
    with watch_pretrained(model, cfg):
        model.init_weights()
    return model


def test_weights_that_belong_are_loaded_in_silence(weights, warnings, tmp_path):
    meta = dict(preprocessing=IMAGENET, backbone=dict(style='pytorch'))
    state = dict(weights[50])
    path = write(tmp_path / 'a.pth', state, 'backbone.', **meta)
    model = initialise(path, prefix='backbone.')
    assert warnings == []
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, state[name])
    # A bare state dict with a classifier that the backbone has no use for, as torchvision's.
    initialise(write(tmp_path / 'b.pth', {**state, 'fc.weight': torch.zeros(2, 2)}))
    assert warnings == []


def test_other_pixels_and_another_style_are_one_line_with_both_sides_and_the_fix(
    weights, warnings, tmp_path
):
    meta = dict(preprocessing=RAW, backbone=dict(type='mm_frelu.ResNet', style='caffe'))
    path = write(tmp_path / 'official.pth', weights[50], 'backbone.', **meta)
    initialise(path, prefix='backbone.')
    assert warnings == [
        f'Preprocessing and style differ: model.backbone.init_cfg: {path} was trained on BGR with mean=[0, 0, 0], '
        "std=[1, 1, 1] and with style='caffe', this config feeds RGB with mean=[123.675, 116.28, 103.53], "
        "std=[58.395, 57.12, 57.375] and has style='pytorch'. Write model.data_preprocessor = dict(..., mean=[0, 0, 0], "
        "std=[1, 1, 1], bgr_to_rgb=False) and model.backbone.style = 'caffe', or use weights that were trained with your settings."
    ]
    # After following the advice, there is no warning.
    warnings.clear()
    initialise(path, prefix='backbone.', pixels=RAW, style='caffe')
    assert warnings == []


def test_style_alone_and_where_it_means_nothing(weights, warnings, tmp_path):
    meta = dict(backbone=dict(style='caffe'))
    initialise(write(tmp_path / 'a.pth', weights[50], **meta))
    assert len(warnings) == 1
    assert warnings[0].startswith('Style differs: ')
    initialise(write(tmp_path / 'b.pth', weights[18], **meta), depth=18)
    assert len(warnings) == 1


def test_a_checkpoint_of_mmengine_tells_by_its_config_text(weights, warnings, tmp_path):
    text = f"model = dict(backbone=dict(style='caffe'), data_preprocessor=dict(**{RAW}))"
    text = text.replace('dict(**', '').replace('))', ')')
    path = write(tmp_path / 'iter_9.pth', weights[50], 'backbone.', cfg=text)
    initialise(path, prefix='backbone.')
    assert len(warnings) == 1
    assert warnings[0].startswith('Preprocessing and style differ: ')


def test_mmpretrain_has_its_own_words(weights, warnings, tmp_path):
    path = write(tmp_path / 'a.pth', weights[18], preprocessing=RAW)
    initialise(path, depth=18, scope='mmpretrain')
    fix = 'Write data_preprocessor = dict(..., mean=[0, 0, 0], std=[1, 1, 1], to_rgb=False)'
    assert fix in warnings[0]


@pytest.mark.parametrize(
    ('act_cfg', 'start'),
    [
        (FRELU, 'the windows start untrained'),
        (dict(type='FReLU', init='identity'), 'exactly ReLU'),
    ],
)
def test_windows_that_a_relu_checkpoint_lacks_are_one_line(act_cfg, start, warnings, tmp_path):
    relu = ResNet(18, base_channels=4, act_cfg=RELU).state_dict()
    initialise(write(tmp_path / 'relu.pth', relu), depth=18, act_cfg=act_cfg)
    assert len(warnings) == 1
    assert 'no weights for the activations of model.backbone (72 missing: ' in warnings[0]
    assert start in warnings[0]


def test_what_else_is_missing_or_too_many_is_named(weights, warnings, tmp_path):
    state = dict(weights[18])
    del state['layer2.0.conv1.weight']
    state['layer1.0.conv3.weight'] = torch.zeros(1)
    state['conv1.weight'] = torch.zeros(4, 3, 3, 3)
    path = write(tmp_path / 'a.pth', state)
    initialise(path, depth=18)
    assert len(warnings) == 1
    assert '1 of layer2 missing, e.g. layer2.0.conv1.weight' in warnings[0]
    assert '1 of layer1 unexpected, e.g. layer1.0.conv3.weight' in warnings[0]
    assert 'conv1.weight expected (4, 3, 7, 7) found (4, 3, 3, 3)' in warnings[0]
    assert 'tensors of model.backbone: ' in warnings[0]


def test_weights_of_which_nothing_fits_stop_the_training(weights, tmp_path):
    path = write(tmp_path / 'a.pth', weights[18], 'backbone.')
    with pytest.raises(UserError, match='fits 0 of the .* tensors of model.backbone') as error:
        initialise(path, depth=18)
    assert "add prefix='backbone.' to its init_cfg" in str(error.value)
    with pytest.raises(UserError, match="no name in .* begins with prefix='net.'. Leave prefix"):
        initialise(path, depth=18, prefix='net.')


def test_entries_that_are_no_tensors_are_named_with_their_type(weights, warnings, tmp_path):
    state = dict(weights[18])
    state['conv1.weight'] = state['conv1.weight'].numpy()  # PyTorch does not load it
    initialise(write(tmp_path / 'a.pth', state), depth=18)
    assert 'conv1.weight expected (4, 3, 7, 7) found ndarray' in warnings[0]
    for content in (dict(model=weights[18]), {}):
        torch.save(content, tmp_path / 'b.pth')
        with pytest.raises(UserError, match='fits 0 of the .* tensors of model.backbone'):
            initialise(str(tmp_path / 'b.pth'), depth=18)


def test_only_files_that_are_here_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'r50-12345678.pth').touch()
    cached = local_file('https://example.org/zoo/r50-12345678.pth?download=1')
    assert cached == tmp_path / 'checkpoints' / 'r50-12345678.pth'
    for elsewhere in ('https://example.org/r18.pth', 'torchvision://resnet50', 'no/such.pth'):
        assert local_file(elsewhere) is None
    assert local_file(str(cached)) == cached


def test_the_runner_watches(weights, warnings, tmp_path):
    path = write(tmp_path / 'a.pth', weights[18], preprocessing=RAW)
    runner = GuardedRunner(
        model=Segmentor(dict(type='Pretrained', checkpoint=path), depth=18),
        work_dir=str(tmp_path / 'work'),
        cfg=Config(dict(model=dict(data_preprocessor=IMAGENET))),
    )
    runner._init_model_weights()
    assert [message.split(':')[0] for message in warnings] == ['Preprocessing differs']
    # One loading is watched, not those that follow.
    runner.model.backbone.load_state_dict({}, strict=False)
    assert len(warnings) == 1
