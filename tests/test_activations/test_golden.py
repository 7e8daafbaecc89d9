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


# In float64 what differs is the official code's own rounding. Float32 adds as much again, relative to the value.
RTOL = {torch.float64: 0.0, torch.float32: 1e-6}


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


def run(layer, golden, dtype):
    """Output and input gradient of the loss sum(out * G), in float32."""
    x = torch.from_numpy(golden['input']).to(dtype).requires_grad_()
    out = layer.to(dtype)(x)
    (out * torch.from_numpy(golden['G'])).sum().backward()
    return out.detach().float(), x.grad.float()


def check_values(actual, golden, key, dtype):
    expected = torch.from_numpy(golden[key]).reshape(actual.shape)
    torch.testing.assert_close(actual.float(), expected, rtol=RTOL[dtype], atol=2e-6)


def check_gradients(layer, x_grad, golden, official, input_key, prefix):
    torch.testing.assert_close(x_grad, torch.from_numpy(golden[input_key]), rtol=2e-4, atol=2e-6)
    for name, parameter in layer.named_parameters():
        module, _, key = name.rpartition('.')
        expected = torch.from_numpy(golden[f'{prefix}/{official[module]}.{key}'])
        # A batch norm in training takes the bias out again: its true gradient is 0, the stored one rounding noise.
        atol = 1e-4 if name == 'conv.bias' else 2e-4
        torch.testing.assert_close(
            parameter.grad.float(), expected.reshape(parameter.shape), rtol=2e-4, atol=atol
        )


@pytest.mark.parametrize('dtype', RTOL)
def test_eval_equals_official(case, dtype):
    layer, golden, official = case
    layer.eval()
    out, x_grad = run(layer, golden, dtype)
    check_values(out, golden, 'eval_out', dtype)
    check_gradients(layer, x_grad, golden, official, 'eval_grad_input', 'eval_grad')


@pytest.mark.parametrize('dtype', RTOL)
def test_training_step_equals_official(case, dtype):
    layer, golden, official = case
    layer.train()
    out, x_grad = run(layer, golden, dtype)
    check_values(out, golden, 'train_out', dtype)
    check_gradients(layer, x_grad, golden, official, 'grad_input', 'grad')
    for name, buffer in layer.named_buffers():
        module, _, key = name.rpartition('.')
        if key != 'num_batches_tracked':
            check_values(buffer, golden, f'state_after/{official[module]}.{key}', dtype)
    layer.eval()
    with torch.no_grad():
        after = layer(torch.from_numpy(golden['input']).to(dtype))
    check_values(after, golden, 'eval_out_after', dtype)
