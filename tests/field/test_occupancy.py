import torch

from gsd.field.march import cell_of
from gsd.field.occupancy import Occupancy

CPU = torch.device("cpu")


def ball(points):
    return 20.0 * (points.norm(dim=0) < 0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_only_what_holds_matter_is_occupied():
    grid = Occupancy(24, 1.0, 0.8, 0.01, CPU)
    for k in range(4):
        grid.update(ball, 0.03, generator(k))
    points = 2 * torch.rand(20_000, 3, generator=generator(9)) - 1
    occupied = grid.occupied[cell_of(points, 24, 1.0).unbind(1)]
    radius = points.norm(dim=1)
    diagonal = 3**0.5 * 2 / 24
    assert occupied[radius < 0.5 - diagonal].all()
    assert not occupied[radius > 0.5 + diagonal].any()


def test_what_has_gone_is_forgotten_at_the_given_rate():
    grid = Occupancy(8, 1.0, 0.5, 0.01, CPU)
    grid.update(ball, 0.03, generator())
    assert torch.isclose(grid.thickness.max(), torch.tensor(0.6))
    for _ in range(5):
        grid.update(lambda points: torch.zeros_like(points[0]), 0.03, generator())
    assert torch.isclose(grid.thickness.max(), torch.tensor(0.6 / 32))
    assert grid.occupied.any()  # 0.019 > 0.01
    grid.update(lambda points: torch.zeros_like(points[0]), 0.03, generator())
    grid.update(lambda points: torch.zeros_like(points[0]), 0.03, generator())
    assert (grid.thickness <= 0.01).all()


def test_a_faint_fog_is_occupied_where_it_is_densest():
    grid = Occupancy(16, 1.0, 0.8, 0.01, CPU)
    grid.update(lambda points: 1e-3 * torch.exp(-points.square().sum(0) / 0.1), 0.03, generator())
    assert 0 < grid.occupied.float().mean() < 0.5


def test_every_cell_that_the_ball_meets_is_looked_at():
    grid = Occupancy(10, 2.0, 0.8, 0.01, CPU)
    seen = []
    grid.update(lambda points: seen.append(points) or torch.ones_like(points[0]), 0.1, generator())
    points = 2 * torch.randn(5000, 3, generator=generator(3)).renorm(2, 0, 1.0)
    assert grid.occupied[cell_of(points, 10, 2.0).unbind(1)].all()
    assert (seen[0].abs() <= 2).all()
