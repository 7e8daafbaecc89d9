"""Weights by URL: without a network, one paragraph says which file is needed, where to put it, and how to train without it."""

import http.server
import threading

import pytest
import torch

from mm_frelu.engine import UserError
from mm_frelu.engine import remote_weights as module
from mm_frelu.engine.checkpoint_file import check_checkpoint_file, check_pretrained_addresses

KEY = 'model.backbone.init_cfg.checkpoint'


class Server(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):  # noqa: N802
        self.send_response({'/there.pth': 200, '/shy.pth': 405}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope='module')
def server():
    with http.server.HTTPServer(('127.0.0.1', 0), Server) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{served.server_port}'
        served.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    return tmp_path / 'checkpoints'


def model(address):
    pretrained = dict(type='Pretrained', checkpoint=address)
    return dict(type='PSPNet', backbone=dict(type='ResNet', init_cfg=pretrained))


def test_without_a_network(cache):
    address = 'http://127.0.0.1:1/zoo/resnet50-0676ba61.pth?download=1'  # nobody listens there
    with pytest.raises(UserError) as raised:
        check_pretrained_addresses(model(address))
    text = str(raised.value)
    assert text.startswith(f'{KEY}: {address} cannot be downloaded (URLError: ')
    assert f'{cache / "resnet50-0676ba61.pth"} does not exist' in text
    assert '--cfg-options model.backbone.init_cfg=None' in text
    assert "init='identity'" in text
    cache.mkdir()
    (cache / 'resnet50-0676ba61.pth').write_bytes(b'x')
    check_pretrained_addresses(model(address))


def test_the_older_way_of_mmseg():
    with pytest.raises(
        UserError, match=r'^model\.pretrained: .*--cfg-options model\.pretrained=None'
    ):
        check_pretrained_addresses(dict(type='PSPNet', pretrained='http://127.0.0.1:1/r50.pth'))


def test_a_server_that_has_the_file_or_does_not(server):
    check_checkpoint_file(f'{server}/there.pth', 'checkpoint')
    check_checkpoint_file(f'{server}/shy.pth', 'checkpoint')  # it answers GET alone
    with pytest.raises(
        UserError, match=r'checkpoint: .*gone\.pth cannot be downloaded \(404 Not Found\)'
    ) as raised:
        check_checkpoint_file(f'{server}/gone.pth', 'checkpoint')
    assert 'init_cfg' not in str(raised.value)


def test_names_of_libraries(monkeypatch):
    with pytest.raises(UserError, match="open-mmlab has no weights named 'nothing'"):
        module.url_of('open-mmlab://nothing', KEY)
    assert module.url_of('open-mmlab://detectron2/resnet50_caffe', KEY).startswith('https://')
    assert module.url_of('s3://bucket/a.pth', KEY) is None
    monkeypatch.setattr(module, 'find_spec', lambda _: None)
    with pytest.raises(UserError, match=r'which is not installed.*init_cfg=None'):
        module.url_of('torchvision://resnet50', KEY)
