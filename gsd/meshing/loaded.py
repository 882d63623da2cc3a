"""Meshes from files of other programs: any number of parts, open or closed, in the colours that the file gives them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.errors import GsdError, reason
from gsd.meshing.bake import nearest_colour, painted
from gsd.meshing.mesh import WORLD_TO_Y_UP, TexturedMesh, decimated
from gsd.meshing.scatter import scattered
from gsd.meshing.texture import read, to_srgb
from gsd.types import PointCloud

Up = Literal["y", "z"]
UP: dict[str, Up] = {".glb": "y", ".obj": "y", ".ply": "z"}  # the kinds that are read, and which axis points up in them
LINEAR = (".glb",)  # kinds whose colours, but for textures, are linear
GREY = 0.5
PER_TEXEL, FEWEST, MOST = 4, 100_000, 4_000_000  # points whose colours a texture is painted with


@dataclass(frozen=True)
class Picture:
    """The texture of some faces, repeated beyond its edges."""

    faces: slice
    uv: Float[Tensor, "F 3 2"]  # of the faces' corners; (0, 0) is the upper left corner
    texture: Float[Tensor, "H W 3"]  # [0, 1], sRGB


@dataclass(frozen=True)
class LoadedMesh:
    """Triangles with colours: those of their corners, times those of the pictures on them."""

    vertices: Float[Tensor, "N 3"]  # z up, the front along +x
    faces: Int[Tensor, "F 3"]
    rgb: Float[Tensor, "F 3 3"]  # of the faces' corners, [0, 1], sRGB
    pictures: tuple[Picture, ...]

    def points(self, count: int, generator: torch.Generator) -> PointCloud:
        """Random points, as many on each part of the surface as its area says, with its colours and normals there."""
        on = scattered(self.vertices, self.faces, count, generator)
        rgb = (self.rgb[on.face] * on.weights[..., None]).sum(1)
        for picture in self.pictures:
            there = ((on.face >= picture.faces.start) & (on.face < picture.faces.stop)).nonzero()[:, 0]
            uv = (picture.uv[on.face[there] - picture.faces.start] * on.weights[there][..., None]).sum(1)
            rgb[there] *= read(picture.texture.permute(2, 0, 1), uv % 1)
        return PointCloud(on.xyz, rgb.clamp(0, 1), normals=on.normals)

    def painted(self, faces: int, side: int) -> TexturedMesh:
        """With about `faces` faces or fewer, and one texture of `side` texels: charts of a file may overlap."""
        count = min(max(FEWEST, PER_TEXEL * side**2), MOST)
        colour = nearest_colour(self.points(count, torch.Generator().manual_seed(0)))
        return painted(*decimated(self.vertices, self.faces, faces), colour, len(self.faces), side)


@dataclass(frozen=True)
class _Part:
    """One of a file's meshes, in the axes of the world; uv and texture together or not at all."""

    vertices: np.ndarray  # N 3, float64
    faces: np.ndarray  # F 3
    rgb: np.ndarray | None  # F 3 3, of the faces' corners, sRGB; None: the file gives no colours
    uv: np.ndarray | None  # F 3 2
    texture: np.ndarray | None  # H W 3


def load_mesh(path: Path, up: Up | None = None) -> LoadedMesh:
    """The mesh in a .glb, .obj or .ply file, with vertices in float64.

    up: the axis that points up in the file, y (then the front is along +z) or z (along +x); None: see `UP`.

    Raises:
        GsdError: for a file that is missing, of another kind, damaged, or without faces.
    """
    kind = path.suffix.lower()
    if not path.is_file():
        raise GsdError(f"init.path={path}: no such file; give a mesh as {', '.join(UP)}.")
    if kind not in UP:
        raise GsdError(f"init.path={path}: unknown kind of file; save the mesh as .glb with its textures inside.")
    parts = [part for part in _parts(path, up or UP[kind], kind in LINEAR) if len(part.faces)]
    if not parts:
        raise GsdError(
            f"init.path={path} has no faces; give a mesh, or start from points alone: init=point_cloud init.path=FILE."
        )
    _say_what_is_grey(parts, path)
    return _joined(parts)


def _say_what_is_grey(parts: list[_Part], path: Path) -> None:
    grey, total = sum(len(part.faces) for part in parts if part.rgb is None), sum(len(part.faces) for part in parts)
    if grey:
        which = "no colours" if grey == total else f"{grey} of {total} faces without colours"
        logging.getLogger("gsd").warning("gsd: %s has %s (of vertices, faces or a material): grey.", path, which)


def _joined(parts: list[_Part]) -> LoadedMesh:
    """Vertices at one place become one, so that the surface holds together where charts meet."""
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, first[:-1], strict=True)])
    used, faces = np.unique(faces, return_inverse=True)
    vertices, same = np.unique(np.concatenate([p.vertices for p in parts])[used], axis=0, return_inverse=True)
    rgb = np.concatenate([np.full((*p.faces.shape, 3), GREY) if p.rgb is None else p.rgb for p in parts])
    joined = torch.from_numpy(same.reshape(-1)[faces].reshape(-1, 3))
    return LoadedMesh(torch.from_numpy(vertices), joined, _float(rgb), tuple(_pictures(parts)))


def _pictures(parts: list[_Part]) -> Iterator[Picture]:
    start = 0
    for part in parts:
        stop = start + len(part.faces)
        if part.texture is not None:
            yield Picture(slice(start, stop), _float(part.uv), _float(part.texture))
        start = stop


def _parts(path: Path, up: Up, linear: bool) -> Iterator[_Part]:
    import trimesh

    to_world = WORLD_TO_Y_UP.double().numpy() if up == "y" else np.eye(3)
    try:
        scene: Any = trimesh.load(path, force="scene", process=False)
        for node in scene.graph.nodes_geometry:
            place, name = scene.graph[node]
            body = scene.geometry[name]
            if isinstance(body, trimesh.Trimesh):
                xyz = trimesh.transform_points(np.asarray(body.vertices, np.float64), place) @ to_world
                xyz[np.asarray(body.faces)]  # raises for a face without its vertices
                yield _Part(xyz, np.asarray(body.faces, np.int64), *_colours(body, linear))
    except Exception as error:  # trimesh and Pillow raise a dozen kinds for a damaged file
        raise GsdError(f"{path}: not a readable {path.suffix[1:].upper()} mesh ({reason(error)}).") from error


def _colours(body: Any, linear: bool) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """rgb of the corners of faces in sRGB, or None; uv of the corners and texture, or None."""
    visual, faces = body.visual, body.faces
    if visual.kind in ("vertex", "face"):
        values = _unit(visual.vertex_colors)[faces] if visual.kind == "vertex" else _unit(visual.face_colors)[:, None]
        return np.broadcast_to(_srgb(values, linear), (len(faces), 3, 3)), None, None
    if visual.kind != "texture":
        return None, None, None
    material = visual.material
    image = getattr(material, "baseColorTexture", None) if linear else getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None) if linear else getattr(material, "diffuse", None)
    if image is not None and not linear:
        factor = None  # what programs write into an .mtl beside a picture is no colour: 0, 0.4 or 1 of white
    rgb = np.ones((len(faces), 3, 3)) if factor is None else np.broadcast_to(_unit(factor), (len(faces), 3, 3))
    if "color" in visual.vertex_attributes:
        rgb = rgb * _unit(visual.vertex_attributes["color"])[faces]
    rgb = _srgb(rgb, linear)
    if image is None or visual.uv is None:
        return rgb, None, None
    uv = np.asarray(visual.uv, np.float64)[:, :2]
    return rgb, (uv * (1, -1) + (0, 1))[faces], _unit(np.asarray(image.convert("RGB")))


def _unit(values: Any) -> np.ndarray:
    """rgb in [0, 1] of values that may be integers."""
    values = np.asarray(values)[..., :3]
    top = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1.0
    return np.clip(values / top, 0, 1)


def _srgb(values: np.ndarray, linear: bool) -> np.ndarray:
    return to_srgb(torch.from_numpy(values)).numpy() if linear else values


def _float(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
