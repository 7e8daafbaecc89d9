"""The documented Python APIs of mmseg and mmdet predict with our configs, and with configs saved by --act."""

import numpy as np
import pytest
import tiny_project
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mm_frelu.engine.act_options import replaced_model
from mm_frelu.engine.arguments import read_config

CONFIGS = tiny_project.REPOSITORY / 'configs'
SEGMENTOR = CONFIGS / 'pspnet/pspnet_r18b-frelu-d4_1xb8-demo_street-scenes-128x256.py'
DETECTOR = CONFIGS / 'retinanet/retinanet_r18-frelu_fpn_1xb8-demo_street-scenes.py'


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8)
    path = tmp_path_factory.mktemp('picture') / 'a.png'
    Image.fromarray(pixels).save(path)
    return path


def saved(source, folder, act):
    """The config that a training with ``--act`` saves in its work folder; ``'nested'`` is written by hand."""
    cfg = read_config(str(source))
    if act == 'nested':
        cfg.model = dict(type='ReplaceActivation', model=cfg.model, act_cfg=dict(type='FReLU'))
    elif act:
        cfg.model = replaced_model(cfg.model, dict(type=act))
    file = folder / 'saved.py'
    cfg.dump(file)
    return str(file)


def inputs(picture):
    return [str(picture), np.array(Image.open(picture))]


@pytest.mark.parametrize('act', [None, 'DyReLUB', 'nested'])
def test_segmentation(act, picture, tmp_path):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    config = saved(SEGMENTOR, tmp_path, act)
    for image in inputs(picture):
        inferencer = MMSegInferencer(config, device='cpu', show_progress=False)
        assert inferencer(image)['predictions'].shape == (64, 128)
        model = init_model(config, device='cpu')
        assert inference_model(model, image).pred_sem_seg.data.shape == (1, 64, 128)
        if act:
            assert model.replaced_activations.reports


@pytest.mark.parametrize('act', [None, 'DyReLUB'])
def test_detection(act, picture, tmp_path):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    config = saved(DETECTOR, tmp_path, act)
    for image in inputs(picture):
        predictions = DetInferencer(config, device='cpu')(image)['predictions']
        assert set(predictions[0]) >= {'bboxes', 'scores', 'labels'}
        model = init_detector(config, device='cpu')
        assert len(inference_detector(model, image).pred_instances) > 0
        if act:
            assert model.replaced_activations.reports


@pytest.mark.parametrize('folder', ['pspnet', 'retinanet'])
def test_the_pipeline_of_every_config_runs_without_labels(folder, picture):
    """The pipeline as the inferencers build it, without a network of full size, which would only take time."""
    from mmdet.apis import DetInferencer
    from mmseg.apis import MMSegInferencer

    kind, scope = dict(pspnet=(MMSegInferencer, 'mmseg'), retinanet=(DetInferencer, 'mmdet'))[
        folder
    ]
    seen = {}
    for file in sorted((CONFIGS / folder).glob('*.py')):
        cfg = Config.fromfile(file)
        seen.setdefault(str(cfg.test_dataloader.dataset.pipeline), cfg)
    assert seen
    for cfg in seen.values():
        with DefaultScope.overwrite_default_scope(scope):
            pipeline = kind.__new__(kind)._init_pipeline(cfg)
            assert pipeline(str(picture))['inputs'].shape[0] == 3


def test_preprocessing_given_on_the_command_line_survives_act(relu_segmentor, tmp_path):
    """The saved config and the model that was trained say the same."""
    work_dir = tmp_path / 'run'
    runner_size = []
    import mm_frelu.engine.launch as launch

    build = launch.build_runner

    def watched(*args, **kwargs):
        runner = build(*args, **kwargs)
        runner_size.append(runner.model.data_preprocessor.size)
        return runner

    base = Config.fromfile(relu_segmentor.config)
    # As mmseg's configs have it: a default beside the model.
    base.data_preprocessor = dict(base.model.data_preprocessor, size=(32, 32), mean=[1.0, 2.0, 3.0])
    config = tmp_path / 'with_default.py'
    base.dump(config)
    patch = pytest.MonkeyPatch()
    patch.setattr(launch, 'build_runner', watched)
    try:
        tiny_project.load_tool('train.py').main(
            [
                *(str(config), '--work-dir', str(work_dir), '--act', 'FReLU', '--cfg-options'),
                'model.data_preprocessor.size=(48,96)',
            ]
        )
    finally:
        patch.undo()
    assert runner_size == [(48, 96)]
    kept = Config.fromfile(work_dir / 'with_default.py')
    assert kept.model.data_preprocessor.size == (48, 96)
