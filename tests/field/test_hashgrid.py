import pytest
import torch
from virtual_cuda import held, virtual_cuda

from gsd.errors import GsdError
from gsd.field.hashgrid import HashGrid, encode_torch, make_levels, row_of, weights


def grid(features=2, count=4, log2_table=9, base=4, growth=1.7):
    made = HashGrid(make_levels(count, log2_table, base, growth), features, torch.Generator().manual_seed(0))
    torch.nn.init.normal_(made.table, generator=torch.Generator().manual_seed(1))
    return made


def points(count=500, dtype=torch.float32):
    xyz = torch.rand(3, count, generator=torch.Generator().manual_seed(2), dtype=dtype)
    xyz[:, :4] = torch.tensor([[0.0, 1.0, 1.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 0.5, 1.0]], dtype=dtype)
    return xyz


def test_the_levels_are_those_of_the_paper():
    levels = make_levels(16, 19, 16, 1.447269)  # threestudio's DreamFusion: to 4096
    assert levels[0].resolution == 16
    assert levels[-1].resolution == pytest.approx(4096, abs=1)
    assert [level.hashed for level in levels] == [level.resolution**3 > 2**19 for level in levels]
    assert max(level.size for level in levels) == 2**19
    assert all(level.size % 8 == 0 for level in levels)
    assert [level.first for level in levels[1:]] == [level.first + level.size for level in levels[:-1]]
    with pytest.raises(GsdError, match=r"lower representation\.growth"):
        make_levels(40, 19, 16, 2.0)


def test_a_dense_level_gives_every_corner_a_row_and_a_hashed_one_spreads_them():
    dense, hashed = make_levels(2, 9, 6, 4.0)
    assert (dense.hashed, hashed.hashed) == (False, True)
    for level in (dense, hashed):
        axis = torch.arange(level.resolution)
        corners = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1)
        rows = row_of(corners[None].expand(8, -1, -1), level)[0]
        counts = torch.bincount(rows, minlength=level.size)
        assert len(counts) == level.size
        if level.hashed:  # 24^3 / 512 = 27 a row, were they thrown at random +- 5.2; none is left out or overfull
            assert counts.min() > 0
            assert counts.max() < 27 + 6 * 5.2
        else:
            assert counts.max() == 1


@pytest.mark.parametrize("features", [2, 4])
@pytest.mark.parametrize("share", [4, 2.3])
def test_kernels_equal_the_twin(features, share):
    ours, xyz = grid(features), points()
    features_, jacobian = ours.jacobian(xyz, share)
    pull, pulls = torch.randn_like(features_), torch.randn_like(jacobian)
    ((features_ * pull).sum() + (jacobian * pulls).sum()).backward()
    table = ours.table.detach().double().requires_grad_()
    expected, slopes = encode_torch(table, xyz.double(), ours.levels, weights(ours.levels, share))
    ((expected * pull).sum() + (slopes * pulls).sum()).backward()
    scales = torch.tensor([level.scale for level in ours.levels]).repeat_interleave(features)[:, None]
    # A point's place in its cell is rounded to 2^-24 of its place in the grid.
    assert (features_ - expected).abs().max() < 1e-5
    assert ((jacobian - slopes) / scales).abs().max() < 1e-5
    assert torch.allclose(ours.table.grad, table.grad.float(), atol=2e-4 * table.grad.abs().max().item())
    ours.table.grad = None
    (ours(xyz, share) * pull).sum().backward()  # the way without derivatives is other code
    alone = torch.autograd.grad(
        (encode_torch(table, xyz.double(), ours.levels, weights(ours.levels, share))[0] * pull).sum(), table
    )[0]
    assert torch.allclose(ours.table.grad, alone.float(), atol=1e-5 * alone.abs().max().item())
    assert torch.allclose(ours(xyz, share), features_, atol=1e-6)


def test_the_jacobian_is_the_derivative():
    ours, xyz = grid(), points(64, torch.float64).requires_grad_()
    inside = (xyz > 0.02).all(0) & (xyz < 0.98).all(0)
    values, jacobian = encode_torch(ours.table.detach().double(), xyz, ours.levels, [1.0] * 4)
    for row in range(0, len(values), 3):
        (slope,) = torch.autograd.grad(values[row].sum(), xyz, retain_graph=True)
        assert torch.allclose(slope[:, inside], jacobian[:, row, inside])


def test_levels_that_are_not_in_use_are_zero_and_learn_nothing():
    ours = grid()
    values = ours(points(), 1.5)
    assert (values[4:] == 0).all()
    assert (values[:4] != 0).any(1).all()
    assert torch.equal(values[2:4], 0.5 * ours(points(), 4)[2:4])
    values.sum().backward()
    assert (ours.table.grad[ours.levels[2].first :] == 0).all()
    assert ours.table.grad[: ours.levels[2].first].abs().sum() > 0


def test_known_features_get_the_same_gradient():
    ours, xyz = grid(), points()
    values = ours(xyz, 4)
    (values**2).sum().backward()
    first, ours.table.grad = ours.table.grad, None
    again = ours(xyz, 4, values.detach())
    assert torch.equal(again, values)
    (again**2).sum().backward()
    assert torch.equal(ours.table.grad, first)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    ours, xyz, results = grid(), points(20_000), []
    for threads in ("1", "2"):
        monkeypatch.setenv("GSD_THREADS", threads)
        ours.table.grad = None
        values = ours(xyz, 4)
        values.square().sum().backward()
        results.append((values.detach(), ours.table.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_no_points():
    ours = grid()
    ours(torch.zeros(3, 0), 4).sum().backward()
    assert (ours.table.grad == 0).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the tests marked gpu compare whole steps")
def test_slopes_on_a_virtual_gpu_equal_those_of_the_jacobian():
    pytest.importorskip("triton")
    ours, xyz = grid(2), points()
    pull = torch.randn(ours.width, xyz.shape[1]).requires_grad_()
    expected = ours.slope(xyz, 2.3, pull)
    push = torch.randn_like(expected)
    by_table, by_pull = torch.autograd.grad((expected * push).sum(), [ours.table, pull])
    with virtual_cuda():
        there = ours.to("cuda")
        pulled = pull.detach().to("cuda").requires_grad_()
        made = there.slope(xyz.to("cuda"), 2.3, pulled)
        (made * push.to("cuda")).sum().backward()
        for x, wanted in ((made.detach(), expected), (there.table.grad, by_table), (pulled.grad, by_pull)):
            assert (held(x) - wanted).norm() < 1e-5 * wanted.norm()
