import pytest
import torch

from gsd.field.mlp import CHUNK, MLP


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("count", [0, 5, CHUNK + 7])
def test_chunks_equal_the_plain_network(layers, count):
    net = MLP(6, 8, layers, 3, torch.Generator().manual_seed(0))
    results = []
    for forward in (net, net.plain):
        x = torch.randn(6, count, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = forward(x)
        results.append((out, *torch.autograd.grad(out.square().sum(), [x, *net.weights])))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_outputs_start_of_order_one():
    net = MLP(16, 64, 2, 4, torch.Generator().manual_seed(0))
    out = net(torch.randn(16, 2000, generator=torch.Generator().manual_seed(1)))
    assert 0.3 < out.std() < 2


@pytest.mark.parametrize("layers", [1, 2])
def test_the_slope_is_the_derivative_and_teaches_the_weights(layers):
    net = MLP(6, 8, layers, 3, torch.Generator().manual_seed(0))
    x = torch.randn(6, CHUNK + 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (expected,) = torch.autograd.grad(net.plain(x)[0].sum(), x, create_graph=True)
    made = net.slope(x)
    assert torch.allclose(made, expected, atol=1e-6)
    pull = torch.randn(made.shape, generator=torch.Generator().manual_seed(2))
    ours, theirs = (torch.autograd.grad((y * pull).sum(), list(net.weights)) for y in (made, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
