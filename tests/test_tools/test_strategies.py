"""MMEngine's strategies run the same config: FSDP and activation checkpointing train the weights that DDP trains."""

import re

import pytest
import tiny_project
import torch
from ports import free_port

CHECKS = '''"""Where FSDPStrategy is to checkpoint activations."""

from mmengine.registry import FUNCTIONS

from mm_frelu.backbones.block_checkpoint import CheckpointedBlock


@FUNCTIONS.register_module()
def is_block(module):
    return isinstance(module, CheckpointedBlock)
'''
# One file with all weights. On a CPU, offload_to_cpu is not needed and would return views of memory that FSDP frees.
WHOLE = dict(
    state_dict_type='FULL_STATE_DICT',
    state_dict_config=dict(type='FullStateDictConfig', rank0_only=True),
    optim_state_dict_config=dict(type='FullOptimStateDictConfig', rank0_only=True),
)


def fsdp(**more):
    wrapper = dict(
        type='MMFullyShardedDataParallel',
        # FSDP would look for a GPU.
        device_id='cpu',
        # Activations, blocks and heads in shards of their own.
        auto_wrap_policy=dict(
            type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy', min_num_params=300
        ),
    )
    strategy = dict(type='FSDPStrategy', model_wrapper=wrapper, state_dict_cfg=WHOLE, **more)
    return dict(runner_type='FlexibleRunner', strategy=strategy)


WAYS = {
    'DDP': dict(),
    'with_cp': dict(),
    'activation_checkpointing': dict(
        activation_checkpointing=['backbone.layer1', 'backbone.layer2']
    ),
    'FSDP': fsdp(),
    'FSDP, with_cp': fsdp(),
    'FSDP, activation_checkpointing': fsdp(activation_checkpointing=dict(check_fn='is_block')),
}


def trained(way: str, activation: str, root, folder):
    """The weights after two steps of two processes, and the log."""
    folder.mkdir()
    (folder / 'my_checks.py').write_text(CHECKS)
    settings = tiny_project.segmentation(root, activation)
    settings['custom_imports']['imports'] += ['my_checks']
    for part in (
        'backbone',
        'decode_head',
        'auxiliary_head',
    ):  # FlexibleRunner has SyncBN on GPUs alone
        settings['model'][part]['norm_cfg'] = dict(type='BN')
    # FlexibleRunner does not seed each step, so dropout would draw other numbers.
    for head in ('decode_head', 'auxiliary_head'):
        settings['model'][head]['dropout_ratio'] = 0
    settings['model']['backbone'].update(with_cp='with_cp' in way)
    settings.update(WAYS[way])
    config = tiny_project.write_config(folder / 'config.py', settings)
    done = tiny_project.run(
        tiny_project.REPOSITORY / 'tools/dist_train.sh',
        config,
        2,
        '--work-dir',
        folder / 'work',
        cwd=folder,
        PORT=free_port(),
        PYTHONPATH=f'{tiny_project.REPOSITORY}:{folder}',
    )
    assert done.returncode == 0, done.stdout[-9000:]
    weights = torch.load(folder / 'work/iter_2.pth', weights_only=False)['state_dict']
    metrics = re.search(r'aAcc: .*mIoU: .*mAcc: [\d.]+', done.stdout)[0]
    return weights, metrics, config


@pytest.mark.slow
@pytest.mark.parametrize('activation', ['FReLU', 'DyReLUB'])
def test_every_strategy_trains_the_same_weights(
    activation, street_scenes, tmp_path, capsys, monkeypatch
):
    expected, metrics, config = trained('DDP', activation, street_scenes, tmp_path / 'DDP')
    for index, way in enumerate(WAYS):
        found, own, _ = trained(way, activation, street_scenes, tmp_path / str(index))
        assert found.keys() == expected.keys(), way
        # MMEngine's and FSDP's checkpointing, unlike with_cp, move running statistics in both of their forwards.
        twice = 'activation_checkpointing' in way
        for name, value in expected.items():
            if not (twice and name.endswith(('running_mean', 'running_var', 'batches_tracked'))):
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=way + name)
        assert own == metrics or twice, way
    # All tools can read a file that FSDP wrote.
    monkeypatch.syspath_prepend(config.parent)
    tiny_project.load_tool('test.py').main(
        [str(config), str(tmp_path / '3/work/iter_2.pth'), '--work-dir', str(tmp_path / 'test')]
    )
    assert metrics in capsys.readouterr().out
