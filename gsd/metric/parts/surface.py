"""Distance of the surface that a turntable shows from the true one."""

from __future__ import annotations

from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from gsd.geometry import unproject
from gsd.types import Cameras, Render

FARTHEST = 1.0  # world units, the radius of the world: the largest error, and the error of an empty scene
QUERIES = 20_000  # points per surface, evenly chosen, whose distance to the other surface is measured


def geometry_errors(shown: Render, truth: Render, cameras: Cameras) -> dict[str, float]:
    """`depth_error`, `chamfer` and `silhouette_iou` of two renders by the same cameras, at the same resolution.

    If the object of one render is turned and its cameras with it, the cameras of either render will do.
    """
    mine, true = shown.alpha > 0.5, truth.alpha > 0.5
    both, either = mine & true, mine | true
    apart = (shown.depth - truth.depth).abs()[both]
    overlap = both.sum((1, 2, 3)) / either.sum((1, 2, 3)).clamp(min=1)
    return {
        "depth_error": float(apart.clamp(max=FARTHEST).mean()) if len(apart) else FARTHEST,
        "chamfer": chamfer(surface(shown, cameras), surface(truth, cameras)),
        "silhouette_iou": float(overlap.mean()),
    }


def surface(render: Render, cameras: Cameras) -> Float[Tensor, "N 3"]:
    """The world points of the object that the cameras see."""
    return unproject(render.depth, cameras)[render.alpha[:, 0] > 0.5]


def chamfer(a: Float[Tensor, "N 3"], b: Float[Tensor, "M 3"]) -> float:
    """Mean distance from the points of one set to the nearest of the other, averaged over both directions."""
    return (_to_nearest(a, b) + _to_nearest(b, a)) / 2


def _to_nearest(points: Float[Tensor, "N 3"], others: Float[Tensor, "M 3"]) -> float:
    if not len(points) or not len(others):
        return FARTHEST
    chosen = points[:: -(-len(points) // QUERIES)].double().numpy()
    distance, _ = cKDTree(others.double().numpy()).query(chosen, distance_upper_bound=FARTHEST)
    return float(distance.clip(max=FARTHEST).mean())
