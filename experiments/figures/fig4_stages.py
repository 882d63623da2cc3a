"""Fig. 4 of the paper: the stages of 3D consistent noising, for two views of one scene.

    python experiments/figures/fig4_stages.py                      # seconds, on a scene of its own
    python experiments/figures/fig4_stages.py --scene outputs/a_full_body_of_a_cat_with_a_hat/SIGNATURE
    python experiments/figures/fig4_stages.py --angle 30 noising.offsets=tangent noising.upsample=25

(a) the scene, (b) the points that the view sees with a noise value each, (c) N sub-points around each, whose values are
drawn given that of their point, (d) the pixels that they fall into, of the frame in (f), (e) the sum of each pixel's
values over the root of their number, (f) the noise map. Pixels that no sub-point reaches are hatched: they get fresh
noise. Settings are those of noising=paper, here without cells. The first channel is shown, in units from -2.5 to 2.5.

Writes figure.png, figure.pdf, table.md and result.json: how many points, sub-points and pixels take part in each view.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plots
import scenes
import sweeps
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.patches import Rectangle
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import project
from gsd.noising.check.sight import Sight
from gsd.noising.consistent import Consistent
from gsd.noising.points.canvas import reach
from gsd.results import markdown
from gsd.tools.noising_check import configured
from gsd.types import Geometry

SETTINGS = ("noising=paper", "noising.cells=0", "noising.kernel=box")
CHANNELS, SIDE = 4, 10  # of the maps; pixels of the frame
COLOURS = {"cmap": "RdBu_r", "vmin": -2.5, "vmax": 2.5}


@dataclass(frozen=True)
class Stages:
    """What noising does for V views; pixel coordinates (x, y)."""

    seen: Geometry
    points: Float[Tensor, "V K 2"]
    values: Float[Tensor, " K"]
    sub_points: Float[Tensor, "V M 2"]
    sub_values: Float[Tensor, " M"]
    pixel: Int[Tensor, "V M"]  # that a sub-point feeds, -1: none
    maps: Float[Tensor, "V h w"]

    def sees(self, view: int) -> Bool[Tensor, " K"]:
        """The points with a sub-point in the view."""
        return (self.pixel[view] >= 0).view(len(self.values), -1).any(1)


@torch.no_grad()
def stages(noising: Consistent, sight: Sight, angle: float) -> Stages:
    """The stages of a step's noise for the run's camera and another, `angle` degrees further."""
    seen, rng = sight.views(0.0, angle), sight.rng
    layer = noising.layers(seen, rng)["surface"]
    cloud = layer.cloud
    values = noising.values("surface", cloud, CHANNELS, rng).of(cloud.ids, cloud.upsample, CHANNELS)[..., 0]
    return Stages(
        seen,
        project(cloud.points, seen.cameras)[0],
        values.sum(1) / cloud.upsample**0.5,  # conditional upsampling keeps it
        project(cloud.places().flatten(0, 1), seen.cameras)[0],
        values.flatten(),
        reach(layer, "box")[0][..., 0],
        noising(seen, CHANNELS, rng)[:, 0],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scenes.add_scene(parser, "one made here")
    parser.add_argument("--angle", type=float, default=5.0, help="degrees between the views (5)")
    parser.add_argument("--out", type=Path, default=Path("outputs/fig4"))
    parser.add_argument("overrides", nargs="*", help=f"settings of the noising, beside {' '.join(SETTINGS)}")
    sweeps.start(parser, _main)


def _main(args: argparse.Namespace) -> None:
    noising = configured([*SETTINGS, *args.overrides])
    if not isinstance(noising, Consistent) or noising.kernel != "box":
        raise GsdError("Fig. 4 shows the stages of noising=consistent with kernel=box; leave other settings out.")
    _, sight = scenes.opened(args.scene)
    found = stages(noising, sight, args.angle)
    rows = [row(found, view) for view in range(2)]
    result = {"scene": sight.name, "steps": sight.steps, "angle": args.angle, "views": rows}
    sweeps.publish(args.out, draw(found, noising.upsample, args.angle), result, markdown.table(rows))


def row(found: Stages, view: int) -> dict[str, Any]:
    fed = found.pixel[view][found.pixel[view] >= 0]
    on_object = int((found.seen.alpha[view] > 0.5).sum())
    return {
        "view": view + 1,
        "points": len(found.values),
        "seen": int(found.sees(view).sum()),
        "sub-points seen": len(fed),
        "pixels of the object": on_object,
        "with sub-points": len(fed.unique()),
        "sub-points per such pixel": round(len(fed) / max(1, len(fed.unique())), 1),
    }


def draw(found: Stages, upsample: int, angle: float) -> Any:
    titles = [
        "(a) scene", "(b) points with noise", f"(c) {upsample} sub-points each", "(d) in pixels",
        r"(e) sum / $\sqrt{\mathrm{count}}$", "(f) noise map",
    ]  # fmt: skip
    figure = plots.figure(2.05 * len(titles) + 0.5, 4.6)
    axes = figure.subplots(2, len(titles))
    frame = plots.window(found.seen.alpha[:, 0])
    for view, line in enumerate(axes):
        draw_view(found, view, line, frame)
        line[0].set_ylabel("view 1" if view == 0 else f"view 2, {angle:g}° further", fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return figure


def draw_view(found: Stages, view: int, line: Any, frame: plots.Window) -> None:
    height, width = found.maps.shape[1:]
    left, top, right, bottom = (share * side for share, side in zip(frame, (width, height) * 2, strict=True))
    corner = centre(found.seen, view)
    shown, extent = found.seen.render.rgb[view].movedim(0, -1).clamp(0, 1), (0, width, height, 0)
    for axis in line[:3]:
        axis.imshow(shown if axis is line[0] else 1 - 0.25 * (1 - shown), extent=extent)
    seen, fed = found.sees(view), found.pixel[view] >= 0
    dots(line[1], found.points[view][seen], found.values[seen], 5)
    dots(line[2], found.sub_points[view][fed], found.sub_values[fed], 1)
    empty = np.ones(height * width, bool)
    empty[found.pixel[view][fed].numpy()] = False
    for axis in line[3:]:
        axis.imshow(
            found.maps[view], extent=extent, interpolation="nearest", alpha=0.0 if axis is line[3] else 1, **COLOURS
        )
    dots(line[3], found.sub_points[view][fed], found.sub_values[fed], 14)
    x, y = corner
    for row, column in np.argwhere(empty.reshape(height, width)[y : y + SIDE, x : x + SIDE]):
        for axis in line[3:5]:
            axis.add_patch(Rectangle((x + column, y + row), 1, 1, fill=False, hatch="////", lw=0, ec="0.6"))
    line[5].add_patch(Rectangle(corner, SIDE, SIDE, fill=False, lw=1.4))
    for axis in line:
        close = axis in line[3:5]
        axis.set(xlim=(left, right), ylim=(bottom, top))
        if close:
            axis.set(xlim=(x, x + SIDE), ylim=(y + SIDE, y))
            axis.set(xticks=range(x, x + SIDE + 1), yticks=range(y, y + SIDE + 1))
            axis.grid(color="0.5", lw=0.4)
        else:
            axis.set(xticks=[], yticks=[])
        axis.tick_params(length=0, labelbottom=False, labelleft=False)
        axis.spines[:].set_visible(close)


def dots(axis: Any, places: Float[Tensor, "K 2"], values: Float[Tensor, " K"], size: float) -> None:
    axis.scatter(*places.T, c=values, s=size, lw=0, **COLOURS)


def centre(seen: Geometry, view: int) -> tuple[int, int]:
    """The upper left corner (x, y) of the frame: around the middle of the object."""
    y, x = ((seen.alpha[view, 0] > 0.5).nonzero().float().mean(0) - SIDE / 2).round().long().clamp_min(0).tolist()
    return x, y


if __name__ == "__main__":
    main()
