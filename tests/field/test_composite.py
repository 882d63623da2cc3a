import torch
import torch.nn.functional as F

from gsd.field.composite import sum_rays, weigh, weigh_torch
from gsd.field.march import Samples


def packed(seed=0, rays=200, longest=30):
    g = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, longest, (rays,), generator=g)
    counts[:5] = 0
    total = int(counts.sum())
    thickness = torch.rand(total, generator=g).pow(4) * 5
    return Samples(torch.zeros(total), F.pad(counts.cumsum(0), (1, 0))), thickness, g


def test_weights_by_hand():
    samples = Samples(torch.zeros(5), torch.tensor([0, 3, 3, 5]))
    thickness = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.0])
    weight, remaining = weigh(thickness, samples)
    e = torch.exp(-thickness)
    expected = [1 - e[0], e[0] * (1 - e[1]), e[0] * e[1] * (1 - e[2]), 1 - e[3], 0.0]
    assert torch.allclose(weight, torch.tensor(expected))
    assert torch.allclose(remaining, torch.stack([e[0] * 0 + 1, e[0], e[0] * e[1], e[3] * 0 + 1, e[3]]))


def test_kernels_equal_the_twin_and_its_gradient():
    samples, thickness, g = packed()
    pull = torch.randn(len(thickness), generator=g)
    ours, theirs = thickness.clone().requires_grad_(), thickness.double().requires_grad_()
    one, other = weigh(ours, samples), weigh_torch(theirs, samples)
    for a, b in zip(one, other, strict=True):
        assert torch.allclose(a.double(), b, atol=1e-6)
    (one[0] * pull).sum().backward()
    (other[0] * pull).sum().backward()
    assert torch.allclose(ours.grad.double(), theirs.grad, atol=1e-5)


def test_all_light_is_accounted_for():
    samples, thickness, _ = packed(1)
    alpha = sum_rays(weigh(thickness, samples)[0][None], samples, samples.rays())[0]
    total = sum_rays(thickness[None], samples, samples.rays())[0]
    assert torch.allclose(alpha, -torch.expm1(-total), atol=1e-5)


def test_sums_over_rays():
    samples, _, g = packed(2)
    values = torch.randn(3, len(samples.times), generator=g, requires_grad=True)
    expected = torch.stack([v.sum(1) for v in values.double().split(samples.offsets.diff().tolist(), 1)], 1)
    out = sum_rays(values, samples, samples.rays())
    assert torch.allclose(out.double(), expected, atol=1e-5)
    pull = torch.randn(out.shape, generator=g)
    (grad,) = torch.autograd.grad((out * pull).sum(), values)
    assert torch.equal(grad, pull[:, samples.rays()])


def test_no_samples():
    samples = Samples(torch.zeros(0), torch.zeros(8, dtype=torch.long))
    weight, _ = weigh(torch.zeros(0, requires_grad=True), samples)
    out = sum_rays(weight[None], samples, samples.rays())
    assert (out == 0).all()
    out.sum().backward()
