"""FReLU against the official implementation.

The tensors come from running megvii-model/FunnelAct (8a9cdc6) on MegEngine 1.13.0, CPU; see tests/data/golden/README.md.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from mm_frelu import FReLU, LightFReLU

GOLDEN = Path(__file__).parents[1] / 'data' / 'golden'
CASES = {
    'frelu_c16.npz': (FReLU, {'conv_frelu': 'conv', 'bn_frelu': 'norm'}),
    'frelu_light_c16.npz': (
        LightFReLU,
        {'conv_frelu1': 'conv1', 'conv_frelu2': 'conv2', 'bn1': 'norm1', 'bn2': 'norm2'},
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    layer_class, names = CASES[request.param]
    golden = np.load(GOLDEN / request.param)
    layer = layer_class(16)
    state = layer.state_dict()
    for key in [key for key in golden.files if key.startswith('state/')]:
        module, parameter = key[len('state/') :].split('.')
        name = f'{names[module]}.{parameter}'
        state[name] = torch.from_numpy(golden[key]).reshape(state[name].shape)
    layer.load_state_dict(state)
    return layer, golden, {ours: theirs for theirs, ours in names.items()}


def run(layer, golden):
    """Output, loss and gradients of sum(out * G)."""
    x = torch.from_numpy(golden['input']).requires_grad_()
    layer.zero_grad()
    out = layer(x)
    (out * torch.from_numpy(golden['G'])).sum().backward()
    return out.detach(), x.grad


def check_gradients(layer, x_grad, golden, official, input_key, prefix):
    torch.testing.assert_close(
        x_grad, torch.from_numpy(golden[input_key]), rtol=2e-4, atol=2e-6
    )
    for name, parameter in layer.named_parameters():
        module, _, key = name.rpartition('.')
        expected = torch.from_numpy(golden[f'{prefix}/{official[module]}.{key}'])
        # A batch norm in training takes the bias out again: its true gradient is 0, the stored one rounding noise.
        atol = 1e-4 if name == 'conv.bias' else 2e-4
        torch.testing.assert_close(
            parameter.grad, expected.reshape(parameter.shape), rtol=2e-4, atol=atol
        )


def test_eval_equals_official(case):
    layer, golden, official = case
    layer.eval()
    out, x_grad = run(layer, golden)
    torch.testing.assert_close(out, torch.from_numpy(golden['eval_out']), rtol=0, atol=2e-6)
    check_gradients(layer, x_grad, golden, official, 'eval_grad_input', 'eval_grad')


def test_training_step_equals_official(case):
    layer, golden, official = case
    layer.train()
    out, x_grad = run(layer, golden)
    torch.testing.assert_close(out, torch.from_numpy(golden['train_out']), rtol=0, atol=2e-6)
    check_gradients(layer, x_grad, golden, official, 'grad_input', 'grad')
    for name, buffer in layer.named_buffers():
        module, _, key = name.rpartition('.')
        if key != 'num_batches_tracked':
            expected = torch.from_numpy(golden[f'state_after/{official[module]}.{key}'])
            torch.testing.assert_close(buffer, expected.reshape(buffer.shape), rtol=0, atol=2e-6)
    layer.eval()
    with torch.no_grad():
        after = layer(torch.from_numpy(golden['input']))
    torch.testing.assert_close(after, torch.from_numpy(golden['eval_out_after']), rtol=0, atol=2e-6)
