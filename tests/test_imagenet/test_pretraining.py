"""Pretraining on folders of pictures: what needs no mmpretrain is run without it, the tools are run where it is."""

import pickle

import cv2
import pytest
import tiny_project
import torch
from imagenet_files import ROOT, all_configs, load, needs_mmpretrain, read_name, why_no_mmpretrain
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from official_networks import dump, resnet50_state
from torch import nn

from mm_frelu.checkpoints.megengine import convert_megengine
from mm_frelu.checkpoints.saving import save_checkpoint
from mm_frelu.datasets.check_classification import check_classification
from mm_frelu.engine import UserError
from mm_frelu.registry import MODELS

FRELU = ROOT / 'configs/imagenet/resnet50-frelu_8xb32_in1k.py'
CAFFE = ROOT / 'configs/imagenet/resnet50-caffe-frelu_8xb32_in1k.py'


def read_pictures(folder, size=32):
    """Pictures as a batch and their labels, read without any library for it."""
    pictures, labels = [], []
    for label, class_folder in enumerate(sorted(folder.iterdir())):
        for file in sorted(class_folder.iterdir()):
            picture = cv2.resize(cv2.imread(str(file)), (size, size))
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1).float() / 58 - 2)
            labels.append(label)
    return torch.stack(pictures), torch.tensor(labels)


def test_a_network_learns_four_kinds_of_stripes(picture_folders):
    """Backbone, neck, optimizer and decay of a config, narrow, in a loop of the test's own."""
    cfg = load(FRELU)
    torch.manual_seed(0)
    backbone = MODELS.build(dict(cfg.model.backbone, base_channels=8))
    pictures, labels = read_pictures(picture_folders / 'train')
    features = backbone(pictures[:2])[-1].shape[1]
    neck = MODELS.build(cfg.model.neck)
    model = nn.ModuleDict(dict(backbone=backbone, neck=neck, fc=nn.Linear(features, 4)))
    cfg.optim_wrapper.optimizer.lr = 0.05  # for 24 pictures
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    losses = []
    for _ in range(10):
        logits = model.fc(model.neck(model.backbone(pictures))[0])
        loss = nn.functional.cross_entropy(logits, labels)
        wrapper.update_params(loss)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def settings(root, **changes):
    return dict(data_root=str(root), data_prefix='train', classes=None, **changes)


def test_folders_of_pictures_are_checked_before_training(picture_folders, tmp_path):
    check_classification('train', settings(picture_folders))
    check_classification('train', dict(settings(picture_folders), classes=('a', 'b', 'c', 'd')))
    with pytest.raises(
        UserError, match='has 4 folders .stripes_0, stripes_1, stripes_2, ....; expected 5'
    ):
        check_classification('train', dict(settings(picture_folders), classes=tuple('abcde')))
    with pytest.raises(UserError, match=r'data_prefix: the folder .*train does not exist'):
        check_classification('train', settings(tmp_path))
    (tmp_path / 'train').mkdir()
    with pytest.raises(UserError, match='has 0 folders; expected a folder for each class'):
        check_classification('train', settings(tmp_path))
    with pytest.raises(
        UserError, match='data_root: the folder .* Expected there: train/<class>/<image>'
    ):
        check_classification('train', settings(tmp_path / 'nowhere'))
    # ImageNet as one folder of pictures with a list of them.
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'train.txt').write_text('a.JPEG 0\n')
    check_classification('train', dict(settings(tmp_path), data_prefix='', split='train'))


@pytest.mark.skipif(not why_no_mmpretrain(), reason='mmpretrain is installed here')
def test_without_mmpretrain_one_sentence_says_what_to_install(tmp_path, capsys):
    train = tiny_project.load_tool('train.py')
    with pytest.raises(SystemExit):
        train.main([str(FRELU), '--work-dir', str(tmp_path)])
    message = capsys.readouterr().err
    assert 'classification needs mmpretrain, which cannot be imported' in message
    assert 'pip install onedl-mmpretrain torchvision' in message


def shrink(path, root, classes=4):
    """The config with a narrow network on the folders of pictures, two steps."""
    cfg = load(path)
    backbone = cfg.model.backbone
    if backbone.type == 'mm_frelu.ResNet':
        backbone.base_channels = 4
        cfg.model.head.in_channels = 128
    cfg.model.head.update(num_classes=classes, topk=(1,))
    cfg.data_preprocessor.num_classes = classes
    if 'num_classes' in cfg.model.head.loss:
        cfg.model.head.loss.num_classes = classes
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(type='CustomDataset', data_root=str(root))
        for step in loader.dataset.pipeline:
            if step.type in ('RandomResizedCrop', 'ResizeEdge'):
                step.scale = 64
            elif step.type == 'CenterCrop':
                step.crop_size = 64
    for step in cfg.tta_pipeline:
        step.update(
            {'ResizeEdge': dict(scale=64), 'CenterCrop': dict(crop_size=64)}.get(step.type, {})
        )
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1,)
    return cfg


def write(cfg, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path


@needs_mmpretrain
@all_configs
def test_classifier_builds_in_mmpretrain(path):
    from mm_frelu.engine.model_builder import build_model

    model = build_model(Config.fromfile(path))
    assert type(model).__module__.startswith('mmpretrain.')
    assert model.head.fc.in_features == model.backbone(torch.zeros(1, 3, 32, 32))[-1].shape[1]
    assert model.data_preprocessor.to_rgb is not read_name(path).raw_pixels


@needs_mmpretrain
@pytest.mark.parametrize(
    'network', ['resnet50-frelu_8xb32', 'shufflenet-v2-050-frelu_8xb128', 'mobilenet-v1-075-relu_8xb128']
)  # fmt: skip
def test_tools_train_test_and_publish(network, picture_folders, tmp_path, capfd):
    config = f'{network}_in1k.py'
    config = write(shrink(ROOT / 'configs/imagenet' / config, picture_folders), tmp_path / config)
    work = tmp_path / 'work'
    tiny_project.load_tool('train.py').main(
        [str(config), '--work-dir', str(work), '--auto-scale-lr']
    )
    checkpoint = work / 'iter_2.pth'
    test = tiny_project.load_tool('test.py')
    common = [str(config), str(checkpoint), '--work-dir', str(work)]
    test.main([*common, '--out', str(tmp_path / 'scores.pkl'), '--show-dir', 'pictures'])
    assert len(pickle.loads((tmp_path / 'scores.pkl').read_bytes())) == 8
    assert len(list(work.rglob('pictures/*'))) == 8
    test.main([*common, '--tta'])
    publish = tiny_project.load_tool('model_converters/publish_model.py')
    publish.main([str(checkpoint), str(tmp_path / 'zoo')])
    (published,) = (tmp_path / 'zoo').iterdir()
    backbone = MODELS.build(
        dict(
            shrink(config, picture_folders).model.backbone,
            init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=str(published)),
        )
    )
    capfd.readouterr()
    backbone.init_weights()
    assert 'do not match' not in ''.join(capfd.readouterr())
    trained = torch.load(checkpoint, weights_only=False)['state_dict']
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, trained[f'backbone.{name}'])


@needs_mmpretrain
def test_converted_official_weights_are_tested_without_a_warning(
    picture_folders, tmp_path, monkeypatch
):
    """And in the config of the other pixels and strides, with one."""
    source = dump(resnet50_state(classes=4), tmp_path / 'official.model')
    target = tmp_path / 'resnet50_frelu.pth'
    save_checkpoint(convert_megengine(source), target, 'DST')
    said = []
    name = 'mm_frelu.engine.checkpoint_guard.print_log'
    monkeypatch.setattr(name, lambda message, *_, **__: said.append(message))
    for path in (CAFFE, FRELU):
        cfg = shrink(path, picture_folders)
        del cfg.model.backbone['base_channels']
        cfg.model.head.in_channels = 2048
        config = write(cfg, tmp_path / path.name)
        test = tiny_project.load_tool('test.py')
        test.main([str(config), str(target), '--work-dir', str(tmp_path / 'work')])
        assert bool(said) == (path is FRELU)
    assert len(said) == 1
    assert said[0].startswith('Preprocessing and style differ: ')
    assert "to_rgb=False) and model.backbone.style = 'caffe'" in said[0]
