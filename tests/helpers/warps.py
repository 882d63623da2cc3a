"""What the tests of the anchored noisings share."""

from dataclasses import replace

import torch

from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render, surface, visible_in_both
from gsd.noising.check.statistics import Operator
from gsd.random import Stream
from gsd.types import Cameras, Render

SIZE = 64
SCENE, RNG = surface(1), Stream(0, "test", 1)


def operator(noising, cams: Cameras, shown: Render | None = None) -> Operator:
    """Of the two views of `cams`, by default of the reference scene."""
    seen = geometry_at(SCENE, shown or render(cams), cams, cams.height, cams.width)
    return Operator(noising.operator(seen, RNG), cams.height * cams.width)


def drawn(noising, scene, shown: Render, cams: Cameras, shape, rng: Stream) -> torch.Tensor:
    """The maps [V, C, h, w] of a noising."""
    maps = noising(geometry_at(scene, shown, cams, *shape[2:]), shape[1], rng)
    assert maps.shape == shape
    return maps


def near(noising, degrees: float) -> float:
    """Mean covariance of corresponding pixels of the reference scene, in closed form."""
    cams = cameras(0.0, degrees)
    return float(operator(noising, cams).near(*visible_in_both(cams)).mean())


def plane(dx: float, dy: float = 0.0, size: int = 16) -> tuple[Cameras, Render]:
    """A fronto-parallel plane before two cameras: what the second sees at (x, y) the first sees at (x + dx, y + dy)."""
    focal, depth = 20.0, 2.0
    viewmats = torch.eye(4).repeat(2, 1, 1)
    viewmats[1, :2, 3] = -torch.tensor([dx, dy]) * depth / focal
    Ks = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]).repeat(2, 1, 1)
    zero = torch.zeros(2)
    image = torch.zeros(2, 1, size, size)
    return (
        Cameras(viewmats, Ks, size, size, zero, zero, zero, torch.zeros(2, dtype=torch.long)),
        Render(image.expand(-1, 3, -1, -1), image + depth, image + 1),
    )


def aligned(noising, dx: float, dy: float = 0.0, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Covariance of the same pixel of both views, and the second's variances, of the plane's pixels 2 from the edge."""
    found = operator(noising, *plane(dx, dy, size))
    inner = [torch.from_numpy(x).view(size, size)[2:-2, 2:-2] for x in (found.cross.diagonal(), variances(found))]
    return inner[0], inner[1]


def variances(found: Operator):
    """Of the pixels of the second view."""
    return (found.other @ found.other.T).diagonal()


def bad_input() -> dict[str, tuple[Cameras, Render]]:
    """Renders that no scene should give, and those that leave nothing to share."""
    cams = cameras(0.0, 5.0, size=16)
    shown = render(cams)
    broken = shown.depth.clone()
    broken[0, 0, 4:8], broken[1, 0, 6:10], broken[1, 0, 12:14] = torch.nan, torch.inf, -1.0
    opposite, tiny = cameras(0.0, 180.0, size=16), cameras(0.0, 5.0, size=1)
    alone, tilted = cameras(0.0, size=16), cameras(0.0, 60.0, size=16)
    return {
        "nothing anywhere": (cams, replace(shown, depth=0 * shown.depth, alpha=0 * shown.alpha)),
        "opaque without depth": (cams, replace(shown, depth=0 * shown.depth, alpha=0 * shown.alpha + 1)),
        "broken depth": (cams, replace(shown, depth=broken)),
        "alpha NaN": (cams, replace(shown, alpha=torch.where(shown.depth > 1.2, torch.nan, shown.alpha))),
        "inside the surface": (cams, replace(shown, depth=0 * shown.depth + 0.002, alpha=0 * shown.alpha + 1)),
        "random depth": (
            tilted,
            replace(render(tilted), depth=3 * torch.rand(2, 1, 16, 16), alpha=shown.alpha * 0 + 1),
        ),
        "no overlap": (opposite, render(opposite)),
        "one pixel": (tiny, render(tiny)),
        "one view": (alone, render(alone)),
    }
