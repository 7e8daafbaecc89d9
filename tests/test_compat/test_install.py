"""When the stand-in takes the place of ``mmcv._ext``, what it says, and what mmcv and MMEngine make of it."""

import os
import subprocess
import sys
import textwrap
import warnings
from importlib import metadata
from pathlib import Path

import mmcv
import pytest
import torch
from op_cases import NO_COMPILED_OPS, compiled_ops

from mm_frelu.compat import StandInOps, install_missing_ops, missing_op, stand_in

ROOT = Path(__file__).parents[2]
WARNING = 'has no compiled ops'
without_compiled_ops = pytest.mark.skipif(
    compiled_ops() is not None, reason='mmcv is installed with its compiled ops'
)


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has not asked for ``mmcv._ext`` yet."""
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    monkeypatch.setattr(mmcv, '_ext', None)
    stand_in._warn_once.cache_clear()
    return monkeypatch


def call_an_op():
    ops = sys.modules['mmcv._ext']
    ops.nms(torch.zeros(1, 4), torch.zeros(1), iou_threshold=0.5, offset=0)


@pytest.fixture
def written_ops(fresh, tmp_path):
    """Write the file that is found as ``mmcv._ext``."""
    fresh.setattr(mmcv, '__path__', [str(tmp_path), *mmcv.__path__])
    return (tmp_path / '_ext.py').write_text


def run_python(code):
    """Output and errors of code in a new process, which must succeed."""
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    environment = {key: value for key, value in os.environ.items() if key != 'RANK'}
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**environment, 'PYTHONPATH': search, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@without_compiled_ops
def test_a_process_is_silent_until_an_op_is_called_and_warns_once():
    lines, errors = run_python("""
        import sys
        import mm_frelu, mmdet.models, mmseg.models
        print('imported', file=sys.stderr)
        import torch
        from mmcv.ops import nms
        for _ in range(2):
            nms(torch.rand(3, 4), torch.rand(3), 0.5)
    """)
    before, after = errors.split('imported')
    assert WARNING not in before
    assert after.count(WARNING) == 1
    for part in ('NMS', 'says how to install the compiled ops'):
        assert part in after


@without_compiled_ops
def test_mmcv_and_mmengine_get_true_answers():
    lines, _ = run_python("""
        import mm_frelu
        from mm_frelu.compat import install_missing_ops
        assert install_missing_ops() and install_missing_ops()
        import mmdet.models, mmseg.models, mmcv._ext

        from mmcv.utils import collect_env
        from mmcv.utils.ext_loader import check_ops_exist
        print(check_ops_exist())
        environment = collect_env()
        print(environment['MMCV Compiler'])
        print(environment['MMCV CUDA Compiler'])

        # Both of these ask mmcv_full_available() and then import from mmcv.ops.
        import torch
        from mmengine.model import revert_sync_batchnorm
        from mmengine.optim import build_optim_wrapper
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.SyncBatchNorm(4))
        options = dict(optimizer=dict(type='SGD', lr=1, weight_decay=1), paramwise_cfg=dict(norm_decay_mult=0))
        build_optim_wrapper(model, dict(type='OptimWrapper', **options))
        print(isinstance(revert_sync_batchnorm(model)[1], torch.nn.SyncBatchNorm))
    """)
    lines = [line for line in lines if ' - mmengine - ' not in line]
    assert lines == [
        'False',
        'n/a (ops not compiled, replaced by mm_frelu.compat)',
        'not available',
        'False',
    ]


@without_compiled_ops
def test_first_call_warns(fresh):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert install_missing_ops()
        assert install_missing_ops()
    with pytest.warns(UserWarning, match=WARNING) as caught:
        call_an_op()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        call_an_op()
    assert caught[0].filename == __file__  # the caller, not a line of compat
    assert isinstance(sys.modules['mmcv._ext'], StandInOps)
    assert mmcv._ext is sys.modules['mmcv._ext']


@without_compiled_ops
@pytest.mark.parametrize('key', ['RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'])
def test_other_processes_of_a_run_are_silent(fresh, key):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        fresh.delenv(name, raising=False)
    fresh.setenv(key, '1')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert install_missing_ops()
        call_an_op()
    fresh.setenv(key, '0')
    stand_in._warn_once.cache_clear()
    with pytest.warns(UserWarning, match=WARNING):
        call_an_op()


@without_compiled_ops
def test_workers_of_a_data_loader_are_silent(fresh):
    fresh.setattr(stand_in.multiprocessing, 'parent_process', lambda: 'the trainer')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert install_missing_ops()
        call_an_op()


@without_compiled_ops
def test_other_ops_say_what_is_missing_when_they_are_called():
    from mmcv.ops import DeformConv2d, nms_match

    layer = DeformConv2d(2, 2, 3)
    what = r'deform_conv_forward is missing.*mmcv/ops/deform_conv\.py.*pip install --no-binary (onedl-)?mmcv'
    with pytest.raises(missing_op.MissingOpError, match=what):
        layer(torch.zeros(1, 2, 9, 9), torch.zeros(1, 18, 7, 7))
    with pytest.raises(NotImplementedError, match=r'nms_match is missing.*mmcv/ops/nms\.py'):
        nms_match(torch.zeros(1, 5), 0.5)


def test_stand_in_has_every_op_and_no_names_of_the_import_system():
    module = StandInOps()
    assert hasattr(module, 'any_op')
    assert not hasattr(module, '__file__')
    assert not hasattr(module, '__path__')
    assert repr(module) == "<module 'mmcv._ext' (mm_frelu.compat)>"


def test_compiled_ops_are_never_replaced(written_ops):
    written_ops('nms = "compiled"\n')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert install_missing_ops() is False
        assert install_missing_ops() is False
    assert sys.modules['mmcv._ext'].nms == 'compiled'


def test_compiled_ops_that_do_not_load_are_not_hidden(written_ops, tmp_path):
    written_ops('raise ImportError("undefined symbol: _ZN3c10")\n')
    with pytest.raises(ImportError, match='they do not load: undefined symbol: _ZN3c10') as caught:
        install_missing_ops()
    assert str(tmp_path / '_ext.py') in str(caught.value)
    assert 'pip install' in str(caught.value)
    assert 'mmcv._ext' not in sys.modules


def test_installed_compiled_ops_are_used():
    if compiled_ops() is None:
        pytest.skip(NO_COMPILED_OPS)
    lines, errors = run_python("""
        import mm_frelu, mmcv._ext, mmdet.models, mmseg.models
        print(mmcv._ext.__file__.endswith('.py'), mm_frelu.compat.install_missing_ops())
    """)
    assert lines == ['False False']
    assert WARNING not in errors


@pytest.mark.parametrize(
    ('distribution', 'commands'),
    [
        ('onedl-mmcv', ['mim install onedl-mmcv', '--force-reinstall onedl-mmcv==2.1.0']),
        (
            'mmcv',
            ['mim install mmcv', 'MMCV_WITH_OPS=1 pip install', '--force-reinstall mmcv==2.1.0'],
        ),
        ('mmcv-lite', ['pip uninstall -y mmcv-lite', 'mim install mmcv']),
    ],
)
def test_commands_fit_the_installed_mmcv(monkeypatch, distribution, commands):
    def version(name):
        if name != distribution:
            raise metadata.PackageNotFoundError(name)
        return '2.1.0'

    monkeypatch.setattr(missing_op.metadata, 'version', version)
    for command in commands:
        assert command in missing_op.how_to_install()
