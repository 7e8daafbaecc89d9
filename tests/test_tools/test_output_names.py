"""Images of the same name in several folders (sequences, cameras, patients) get separate output files."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_project
from PIL import Image

from mm_frelu.engine import UserError
from mm_frelu.engine.output_names import folders_of, keep_folders

WIDTH, HEIGHT = tiny_project.WIDTH, tiny_project.HEIGHT


@pytest.fixture
def tool():
    return tiny_project.load_tool('test.py')


@pytest.fixture
def drives(street_scenes, tmp_path):
    """The four scenes of the test set, unchanged, and again as the first two images of two drives."""
    data = shutil.copytree(street_scenes, tmp_path / 'data')
    names = {}
    for kind, suffix in (('leftImg8bit', '.png'), ('gtFine', '_gtFine_labelTrainIds.png')):
        files = sorted((data / kind / 'val').rglob(f'*{suffix}'))
        for index, file in enumerate(files):
            target = data / kind / 'val' / f'drive{index // 2}' / f'{index % 2:06d}{suffix}'
            target.parent.mkdir(exist_ok=True)
            file.rename(target)
            if kind == 'leftImg8bit':
                names[file.name] = target
    annotations = data / 'annotations/instances_val.json'
    content = json.loads(annotations.read_text())
    for image in content['images']:
        image['file_name'] = '/'.join(names[image['file_name'].split('/')[-1]].parts[-2:])
    annotations.write_text(json.dumps(content))
    return SimpleNamespace(data=data, names=names)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_label_files_and_pictures_of_segmentation(tool, segmentor, drives, tmp_path, capsys):
    settings = tiny_project.segmentation(drives.data)
    for loader in ('val_dataloader', 'test_dataloader'):
        settings[loader]['dataset'].update(img_suffix='.png')
    config = tiny_project.write_config(tmp_path / 'drives.py', settings)
    for name, cfg in (('flat', segmentor.config), ('deep', config)):
        folders = ['--out', str(tmp_path / name), '--show-dir', str(tmp_path / f'{name}_shown')]
        run = ['--work-dir', str(tmp_path / f'run_{name}')]
        tool.main([str(cfg), str(segmentor.checkpoint), *run, *folders])
        tiny_project.forget_runs()
    flat, deep = files(tmp_path / 'flat'), files(tmp_path / 'deep')
    assert sorted(deep) == [f'drive{drive}/{image:06d}.png' for drive in (0, 1) for image in (0, 1)]
    assert len(set(deep.values())) > 1
    for old, new in drives.names.items():
        assert flat[old] == deep['/'.join(new.parts[-2:])]
    assert len(set(files(tmp_path / 'deep_shown').values())) == 4
    log = next((tmp_path / 'run_deep').glob('*/*.log')).read_text()
    assert f'Predictions are in {tmp_path / "deep"} (files: 4)' in log
    assert f'4 pictures are in {tmp_path / "deep_shown"}' in log


@pytest.mark.parametrize('absolute', [True, False])
def test_pictures_of_detection(absolute, tool, detector, drives, tmp_path):
    config = tiny_project.write_config(tmp_path / 'drives.py', tiny_project.detection(drives.data))
    shown = str(tmp_path / 'shown') if absolute else 'shown'
    run = ['--work-dir', str(tmp_path / 'run'), '--show-dir', shown]
    batch = ['--cfg-options', 'test_dataloader.batch_size=3']
    tool.main([str(config), str(detector.checkpoint), *run, *batch])
    folder = tmp_path / 'shown' if absolute else next((tmp_path / 'run').glob('*/shown'))
    names = [f'drive{drive}/{image:06d}.png' for drive in (0, 1) for image in (0, 1)]
    assert sorted(files(folder)) == names
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'4 pictures are in {folder}' in log
    for name in names:  # true boxes left, found ones right, of the image itself
        picture = Image.open(folder / name)
        assert picture.size == (2 * WIDTH, HEIGHT)
        original = np.asarray(Image.open(drives.data / 'leftImg8bit/val' / name).convert('RGB'))
        drawn = np.asarray(picture.convert('RGB'))[:, :WIDTH]
        assert (original == drawn).all(axis=2).mean() > 0.3


def test_folders_are_kept_only_where_names_do_not_tell_images_apart():
    assert set(folders_of(['v/a/1.png', 'v/b/2.png'], suffix=False).values()) == {''}
    paths = ['v/a/1.png', 'v/b/x/1.png', 'v/2.png']
    assert list(folders_of(paths, suffix=True).values()) == ['a', 'b/x', '.']
    other_roots = ['/set1/val/1.png', '/set2/val/1.png']
    assert list(folders_of(other_roots, suffix=True).values()) == ['set1/val', 'set2/val']


def test_images_that_differ_in_their_suffix_only():
    paths = ['v/a/1.png', 'v/a/1.jpg', 'v/b/1.png']
    assert list(folders_of(paths, suffix=True).values()) == ['a', 'a', 'b']
    with pytest.raises(UserError, match=r'v/a/1\.png and v/a/1\.jpg are two images .* a/1\.'):
        folders_of(paths, suffix=False)


def test_pictures_of_classification(tmp_path):
    """mmpretrain's hook numbers nothing and draws on the inputs of the batch; it is not installed everywhere."""

    class VisualizationHook:
        out_dir = str(tmp_path / 'shown')

        def after_test_iter(self, runner, batch_idx, data_batch, outputs):
            for image, sample in zip(data_batch['inputs'], outputs):
                with open(f'{self.out_dir}/{sample.img_path[-5:]}', 'w') as file:
                    file.write(image)

    paths = ['cat/1.png', 'dog/1.png', 'dog/2.png']
    dataset = [dict(img_path=path) for path in paths]
    hook = VisualizationHook()
    runner = SimpleNamespace(
        test_evaluator=SimpleNamespace(metrics=[]),
        hooks=[hook],
        test_dataloader=SimpleNamespace(dataset=_Listed(dataset)),
        work_dir='run',
        timestamp='now',
    )
    keep_folders(runner)
    outputs = [SimpleNamespace(img_path=path) for path in paths]
    hook.after_test_iter(runner, 0, dict(inputs=['x', 'y', 'z']), outputs)
    found = {name: content.decode() for name, content in files(tmp_path / 'shown').items()}
    assert found == {'cat/1.png': 'x', 'dog/1.png': 'y', 'dog/2.png': 'z'}


class _Listed(list):
    get_data_info = list.__getitem__


def test_names_that_mmseg_cannot_draw_are_told(tool, street_scenes, segmentor, tmp_path):
    settings = tiny_project.segmentation(street_scenes)
    names = ('道路', *(f'class {index}' for index in range(1, 19)))
    settings['test_dataloader'] = dict(settings['test_dataloader'])
    settings['test_dataloader']['dataset'] = dict(
        settings['test_dataloader']['dataset'],
        type='BaseSegDataset',
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtFine_labelTrainIds.png',
        metainfo=dict(classes=names),
    )
    config = tiny_project.write_config(tmp_path / 'chinese.py', settings)
    for options, told in (([], False), (['--show-dir', 'shown'], True)):
        run = ['--work-dir', str(tmp_path / f'run_{told}'), *options]
        tool.main([str(config), str(segmentor.checkpoint), *run])
        tiny_project.forget_runs()
        log = next((tmp_path / f'run_{told}').glob('*/*.log')).read_text()
        assert ("mmseg cannot draw '道路' into pictures" in log) == told
        assert "class 0 is 'road' in " in log  # renamed since the training
