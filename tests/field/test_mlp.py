import pytest
import torch
from virtual_cuda import virtual_cuda

from gsd.field import mlp
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


@pytest.mark.parametrize(("sizes", "layers"), [((32, 64, 1), 1), ((10, 20, 3), 1), ((16, 16, 3), 2), ((5, 31, 16), 2)])
@pytest.mark.parametrize("count", [1, 64, 200])
def test_triton_equals_the_plain_network(sizes, layers, count, monkeypatch):
    """Values, and gradients by the input and all weights, of the network and of its slope; programs share blocks."""
    pytest.importorskip("triton")
    monkeypatch.setattr(mlp, "PROGRAMS", 2)
    net = MLP(sizes[0], sizes[1], layers, sizes[2], torch.Generator().manual_seed(0))
    x = torch.randn(sizes[0], count, generator=torch.Generator().manual_seed(1)).requires_grad_()
    pulls = [torch.randn(size, count, generator=torch.Generator().manual_seed(2)) for size in (sizes[2], sizes[0])]
    out = net.plain(x)
    expected = [out, *torch.autograd.grad((out * pulls[0]).sum(), [x, *net.weights])]
    (along,) = torch.autograd.grad(net.plain(x)[0].sum(), x, create_graph=True)
    expected += [along, *torch.autograd.grad((along * pulls[1]).sum(), list(net.weights))]
    with virtual_cuda() as book:
        there, held = net.to("cuda"), x.detach().to("cuda").requires_grad_()
        out, along = there(held), there.slope(held)
        found = [out, *torch.autograd.grad((out * pulls[0].to("cuda")).sum(), [held, *there.weights])]
        found += [along, *torch.autograd.grad((along * pulls[1].to("cuda")).sum(), list(there.weights))]
        found = [value.cpu().clone() for value in found]
    assert "triton forward" in book.table("kernel")
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other.detach(), rtol=1e-4, atol=1e-4)
