"""tools/train.py: its options and its errors."""

import re
import sys

import pytest
import tiny_project
import torch
from mmengine.config import Config, ConfigDict

from mm_frelu.engine import UserError
from mm_frelu.engine.arguments import load_config
from mm_frelu.engine.train_options import enable_amp


@pytest.fixture
def tool():
    return tiny_project.load_tool('train.py')


def log_of(work_dir) -> str:
    return max(work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text()


@pytest.mark.parametrize('kind', ['segmentor', 'detector'])
def test_trains_and_says_how_long_it_takes(kind, request):
    trained = request.getfixturevalue(kind)
    assert trained.checkpoint.is_file()
    assert re.search(r'Iter\(train\) \[1/2\].* eta: \d:\d\d:\d\d .*loss: \d', trained.log)
    assert re.search(r'Iter\(val\) \[2/4\].* eta: ', trained.log)
    metric = 'mIoU' if kind == 'segmentor' else 'coco/bbox_mAP_50'
    assert f'{metric}: ' in trained.log
    saved = torch.load(trained.checkpoint, weights_only=False)['state_dict']
    assert saved['backbone.layer1.0.act1.conv.weight'].shape == (8, 1, 3, 3)


def test_sync_bn_becomes_bn_and_is_told_once(segmentor):
    told = re.findall(
        r'(\d+) SyncBN layers run as BN because (?:there is no GPU|no launcher)', segmentor.log
    )
    saved = torch.load(segmentor.checkpoint, weights_only=False)
    weights = saved['state_dict']
    norms = [key for key in weights if key.endswith('running_mean')]
    assert {key.split('.')[0] for key in norms} == {'backbone', 'decode_head', 'auxiliary_head'}
    assert any('.act1.' in key for key in norms)
    assert told == [str(len(norms))]
    # The optimizer knows every parameter: none was lost with the layer that it had been in. They start at 1 and learn.
    trained = sum(len(group['params']) for group in saved['optimizer']['param_groups'])
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    assert trained == sum(not key.endswith(buffers) for key in weights)
    assert (weights['decode_head.bottleneck.bn.weight'] != 1).any()
    assert (weights['decode_head.bottleneck.bn.running_mean'] != 0).any()


@pytest.mark.parametrize(
    ('option', 'in_config', 'expected'),
    [('cli', 'config', 'cli'), (None, 'config', 'config'), (None, None, './work_dirs/tiny')],
)
def test_work_dir_is_that_of_the_command_line_then_of_the_config_then_the_config_name(
    tool, tmp_path, option, in_config, expected
):
    settings = dict(a=1) if in_config is None else dict(work_dir=in_config)
    config = tiny_project.write_config(tmp_path / 'tiny.py', settings)
    argv = [str(config)] + (['--work-dir', option] if option else [])
    assert load_config(tool.parse_args(argv)).work_dir == expected


def test_resume_continues_from_a_path_and_from_the_last_checkpoint(tool, segmentor, tmp_path):
    more = ['--cfg-options', 'train_cfg.max_iters=3', 'train_cfg.val_interval=9']
    config, target = str(segmentor.config), str(tmp_path / 'run')
    tool.main([config, '--work-dir', target, '--resume', str(segmentor.checkpoint), *more])
    text = log_of(tmp_path / 'run')
    assert 'resumed epoch: 0, iter: 2' in text
    assert 'Iter(train) [3/3]' in text
    assert 'Iter(train) [2/3]' not in text
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(segmentor.checkpoint))
    tool.main([config, '--work-dir', target, '--resume', *more])
    assert 'resumed epoch: 0, iter: 2' in log_of(tmp_path / 'run')


def test_resume_without_a_checkpoint_starts_anew_and_keeps_load_from(tool, tmp_path):
    from mm_frelu.engine.train_options import resume

    cfg = Config(dict(work_dir=str(tmp_path), load_from='weights.pth'))
    resume(cfg, 'auto')
    assert cfg.resume is False
    assert cfg.load_from == 'weights.pth'


def test_auto_scale_lr_scales_by_the_batch_for_segmentation_too(tool, segmentor, tmp_path):
    options = ['--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=9']
    tool.main([str(segmentor.config), '--work-dir', str(tmp_path), '--auto-scale-lr', *options])
    # lr 0.01 for 8 images, one process with 2 images.
    assert f'lr: {0.01 * 2 / 8:.4e}' in log_of(tmp_path)


def test_auto_scale_lr_says_what_to_add(tool, street_scenes, tmp_path, capsys):
    settings = tiny_project.segmentation(street_scenes)
    del settings['auto_scale_lr']
    config = tiny_project.write_config(tmp_path / 'noscale.py', settings)
    with pytest.raises(SystemExit) as stop:
        tool.main([str(config), '--auto-scale-lr'])
    assert stop.value.code == 1
    assert 'auto_scale_lr = dict(enable=False, base_batch_size=N)' in capsys.readouterr().err


def test_amp_changes_the_wrapper_warns_and_refuses(monkeypatch):
    def with_wrapper(kind):
        return Config(dict(optim_wrapper=ConfigDict(type=kind)))

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = with_wrapper('OptimWrapper')
    enable_amp(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')
    warnings = []
    monkeypatch.setattr(
        'mm_frelu.engine.train_options.print_log', lambda *args: warnings.append(args)
    )
    already = with_wrapper('AmpOptimWrapper')
    enable_amp(already)
    assert already.optim_wrapper == dict(type='AmpOptimWrapper')
    assert 'already on' in warnings[0][0]
    with pytest.raises(UserError, match='ApexOptimWrapper'):
        enable_amp(with_wrapper('ApexOptimWrapper'))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match='needs a GPU'):
        enable_amp(with_wrapper('OptimWrapper'))


def test_a_batch_of_one_image_is_explained(tool, segmentor, tmp_path, capsys):
    options = ['--cfg-options', 'train_dataloader.batch_size=1', 'train_cfg.max_iters=1']
    with pytest.raises(SystemExit):
        tool.main([str(segmentor.config), '--work-dir', str(tmp_path), *options])
    message = capsys.readouterr().err
    assert 'train_dataloader.batch_size=1' in message
    assert 'batch_size of 2 or more' in message


def test_relu_weights_start_an_frelu_model_with_one_warning(
    tool, segmentor, relu_segmentor, tmp_path
):
    options = ['--cfg-options', f'load_from={relu_segmentor.checkpoint}', 'train_cfg.max_iters=1']
    tool.main([str(segmentor.config), '--work-dir', str(tmp_path), *options])
    warnings = [line for line in log_of(tmp_path).splitlines() if 'start untrained' in line]
    assert len(warnings) == 1
    assert 'backbone.layer1.0.act1.conv.weight' in warnings[0]


def test_an_unreadable_image_in_a_worker_is_named(tool, street_scenes, tmp_path, capsys):
    import shutil

    data = shutil.copytree(street_scenes, tmp_path / 'data')
    for image in (data / 'leftImg8bit' / 'train').glob('*/*.png'):
        image.write_bytes(b'')
    settings = tiny_project.segmentation(data)
    settings['train_dataloader']['num_workers'] = 1
    config = tiny_project.write_config(tmp_path / 'broken_images.py', settings)
    with pytest.raises(SystemExit) as stop:
        tool.main([str(config), '--work-dir', str(tmp_path / 'run')])
    message = capsys.readouterr().err
    assert stop.value.code == 1
    assert re.search(r'error: img_path \S+_leftImg8bit\.png: the file is empty', message)
    assert 'Traceback' not in message


def test_from_the_command_line_an_error_is_one_paragraph_and_exit_code_1(segmentor, tmp_path):
    wrong = segmentor.config.with_name('psp_freul.py')
    train = tiny_project.REPOSITORY / 'tools' / 'train.py'
    done = tiny_project.run(sys.executable, '-W', 'ignore', train, wrong, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.strip().splitlines()
    assert lines[-1].startswith(f'error: config {wrong}: there is no such file')
    assert lines[-1].endswith(f'Did you mean {segmentor.config}?')
    assert 'Traceback' not in done.stdout
