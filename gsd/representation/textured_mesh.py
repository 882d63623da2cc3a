"""A mesh whose texture is optimised, as in the last stage of Magic3D, Fantasia3D and ProlificDreamer."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor, nn

from gsd.backend.adam import Adam
from gsd.errors import GsdError
from gsd.meshing.bake import refilled, textured
from gsd.meshing.balls import mesh_around
from gsd.meshing.extract import points_on, surface_of
from gsd.meshing.loaded import LoadedMesh
from gsd.meshing.mesh import TexturedMesh
from gsd.meshing.texture import read
from gsd.meshing.triangles import rasterise
from gsd.protocols import OfMesh, Representation
from gsd.random import Stream
from gsd.ranges import Fraction, Pixels
from gsd.representation.parts.background import Colour, behind
from gsd.schedule import Rate, at
from gsd.types import Cameras, Context, PointCloud, Render, Scene

Faces = Annotated[int, Interval(ge=4, le=10**6)]
Voxels = Annotated[int, Interval(ge=8, le=512)]
Rays = Annotated[int, Interval(ge=1, le=8)]
SHAPE = ("vertices", "normals", "faces", "uv")  # what of a mesh stays as it is


class Textured(nn.Module, Representation):
    """A closed surface that does not move, and a square texture of `texture` texels a side, which Adam optimises.

    It starts from another run's scene (init=run): Gaussians and fields are meshed with `voxels` voxels along their
    longest side, simplified to about `faces` faces, cut into charts, and painted as views from all around show them.
    The mesh of a file (init=mesh) is simplified and cut into charts anew, in its own colours. Points of any other start
    become the surface of a ball on each of them, in their colours.

    Colours are rgb in [0, 1] and do not depend on the view. A pixel is the mean of `rays` x `rays` bilinear look-ups
    and alpha the share of them that meet the mesh. texture_lr: learning rate of Adam, a number or schedule.
    The scene is rendered over `background`, or for a fraction `random_background` of the training steps over one random
    colour for each group of views (None: what suits the prior). Noisings see the points of the start, or `init.points`
    random ones of the surface.
    """

    sizes = ("texture", "faces", "voxels")
    vertices: Tensor
    normals: Tensor
    faces: Tensor
    uv: Tensor
    points: Tensor

    def __init__(
        self,
        context: Context,
        texture: Pixels = 256,
        faces: Faces = 12_000,
        voxels: Voxels = 128,
        rays: Rays = 2,
        background: Colour = "white",
        random_background: Fraction | None = None,
        texture_lr: Rate = 0.01,
    ) -> None:
        super().__init__()
        if context.densifier is not None:
            raise GsdError("Only Gaussians can be densified: use densify=none with representation=textured_mesh.")
        self.seed, self.device, self.steps_taken = context.seed, context.device, 0
        self.background, self.rays, self.rate = background, rays, texture_lr
        self.random_background = context.random_background if random_background is None else random_background
        self.texture = nn.Parameter(torch.zeros(3, texture, texture, device=self.device))
        self.optimizer = Adam([{"params": [self.texture], "lr": 0.0}], eps=1e-15, betas=(0.9, 0.99))
        assert context.points is not None
        state = context.points.whole
        if state is None:
            state = _state(mesh_around(context.points, voxels, faces, texture), context.points.xyz)
        self.adopt(state)

    @classmethod
    def converted(
        cls, scene: Representation | LoadedMesh, options: dict[str, Any], count: int, context: Context, rng: Stream
    ) -> PointCloud:
        """Raises GsdError for a scene without a surface."""
        if isinstance(scene, LoadedMesh):
            mesh = scene.painted(options["faces"], options["texture"])
        elif isinstance(scene, OfMesh):
            mesh = scene.mesh()
        else:
            surface = surface_of(scene, options["voxels"], None, context.device)
            mesh = textured(surface, options["faces"], options["texture"])
        points = points_on(mesh, count, rng.sub("surface").generator())
        return PointCloud(points.xyz, points.rgb, _state(mesh, points.xyz))

    def render(self, cameras: Cameras) -> Render:
        """Draw the mesh; the depth is the mean over the rays that meet it, and has no graph.

        Args:
            cameras: V views of H x W pixels, on the scene's device.

        Returns:
            rgb over the background, camera-space z (world units, 0 where alpha is 0) and alpha in [0, 1].
        """
        fine = cameras.resized(self.rays * cameras.width, self.rays * cameras.height)
        hits = rasterise(self.vertices, self.faces, fine)
        uv = (self.uv[self.faces[hits.face]] * hits.weights[..., None]).sum(1)
        seen = torch.cat([read(self.texture, uv), hits.depth[:, None], torch.ones_like(hits.depth)[:, None]], 1)
        empty = seen.new_zeros(len(cameras) * fine.height * fine.width, seen.shape[1])
        images = empty.index_copy(0, hits.pixel, seen).view(len(cameras), fine.height, fine.width, -1)
        color, depth, alpha = F.avg_pool2d(images.permute(0, 3, 1, 2), self.rays).split([3, 1, 1], 1)
        depth, alpha = depth.detach(), alpha.detach()
        rng = Stream(self.seed, "textured_mesh", self.steps_taken)
        background = behind(self.background, self.random_background, cameras, rng)
        assert background is not None
        rgb = color + (1 - alpha) * background[..., None, None]
        return Render(rgb, torch.where(alpha > 0, depth / alpha.clamp_min(1e-8), 0.0), alpha, background=background)

    def scene(self) -> Scene:
        return Scene(self.points, torch.arange(len(self.points), device=self.device))

    def shape_parameters(self) -> Sequence[Tensor]:
        """The texture, for want of a geometry that moves: terms that act on the depth alone have no share in it."""
        return [self.texture]

    @torch.no_grad()
    def step(self) -> None:
        self.optimizer.param_groups[0]["lr"] = at(self.rate, self.steps_taken)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.texture.clamp_(0, 1)
        self.steps_taken += 1

    def mesh(self) -> TexturedMesh:
        """For export, on the CPU."""
        shape = {name: getattr(self, name).cpu() for name in SHAPE}
        return refilled(TexturedMesh(**shape, texture=self.texture.detach().permute(1, 2, 0).cpu()))

    def vitals(self) -> dict[str, Tensor]:
        return {"textured_mesh/texture": self.texture.detach().mean()}

    def state(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in (*SHAPE, "points")},
            "texture": self.texture.detach(),
            "steps_taken": self.steps_taken,
            "optimizer": self.optimizer.state_dict(),
        }

    def adopt(self, state: dict[str, Any]) -> None:
        for name in (*SHAPE, "points"):
            setattr(self, name, state[name].to(self.device))
        self.texture.data = state["texture"].to(self.device, copy=True)  # several scenes may start so

    def restore(self, state: dict[str, Any]) -> None:
        if state["texture"].shape != self.texture.shape:
            raise GsdError("The checkpoint holds other parameters than this config; delete it to start anew.")
        self.adopt(state)
        self.steps_taken = state["steps_taken"]
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # or it would go on with the very tensors given


def _state(mesh: TexturedMesh, points: Float[Tensor, "N 3"]) -> dict[str, Any]:
    shape = {name: getattr(mesh, name) for name in SHAPE}
    return shape | {"points": points, "texture": mesh.texture.permute(2, 0, 1).contiguous()}
