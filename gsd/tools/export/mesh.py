"""Triangle meshes with vertex colours: from a volume, cleaned, and written as .glb or .obj."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gsd.errors import GsdError

# glTF and with it most programs: y up, the front looks along +z. Ours is z up with the front along +x.
WORLD_TO_Y_UP = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
QUAT_TO_Y_UP = torch.tensor([0.5, -0.5, -0.5, -0.5])  # the same rotation, wxyz
SPECK = 0.01  # of the largest component's faces: what has fewer is a floater


@dataclass(frozen=True)
class Mesh:
    vertices: Float[Tensor, "N 3"]  # world units and axes
    faces: Int[Tensor, "F 3"]  # counter-clockwise from outside
    rgb: Float[Tensor, "N 3"]  # [0, 1], sRGB as in renders


def surface(
    volume: Float[Tensor, "X Y Z"], level: float, low: Float[Tensor, " 3"], spacing: float
) -> tuple[Float[Tensor, "N 3"], Int[Tensor, "F 3"]]:
    """Marching cubes (Lewiner et al. 2003): the closed surface around all that is above `level`, less specks.

    volume[i, j, k] is the value at low + spacing (i, j, k). Raises GsdError where nothing is above the level.
    """
    from skimage.measure import marching_cubes

    highest = float(volume.max())
    if not highest > level:
        raise GsdError(f"There is no surface: nothing is above {level:.4g}, the highest value is {highest:.4g}.")
    outside = min(float(volume.min()), 2 * level - highest)  # around the box, so that the surface is closed
    padded = np.pad(volume.cpu().numpy(), 1, constant_values=outside)
    vertices, faces, _, _ = marching_cubes(padded, level, gradient_direction="ascent")
    vertices, faces = _without_specks(vertices, faces)
    return low.cpu() + spacing * (torch.from_numpy(vertices.copy()) - 1), torch.from_numpy(faces.copy()).long()


def _without_specks(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only components with at least SPECK of the largest one's faces."""
    count = len(vertices)
    edges = coo_array((np.ones(2 * len(faces)), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())), (count, count))
    _, component = connected_components(edges, directed=False)
    sizes = np.bincount(component[faces[:, 0]], minlength=component.max() + 1)
    kept = (sizes >= SPECK * sizes.max())[component]
    number = np.cumsum(kept) - 1
    return vertices[kept], number[faces[kept[faces[:, 0]]]]


def normals(vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "N 3"]:
    """Outward unit normals of the vertices: the mean of their faces', weighted by area."""
    a, b, c = vertices[faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices).index_add_(0, faces.flatten(), across.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(summed, dim=-1)


def save_mesh(path: Path, mesh: Mesh) -> None:
    """As .glb or .obj, by the ending; y up, front along +z.

    glTF defines vertex colours as linear, so .glb holds them converted, with a material that is not lit: the light is
    in the colours already. In .obj they follow the coordinates, as they are.
    """
    import trimesh
    from trimesh.exchange.gltf import export_glb

    binary = path.suffix == ".glb"
    rgb = _linear(mesh.rgb) if binary else mesh.rgb
    out = trimesh.Trimesh(
        (mesh.vertices @ WORLD_TO_Y_UP.T).numpy(),
        mesh.faces.numpy(),
        vertex_colors=(255 * rgb).round().to(torch.uint8).numpy(),
        process=False,
    )
    if binary:
        path.write_bytes(export_glb(out, include_normals=False, tree_postprocessor=_unlit))
    else:
        path.write_text(str(out.export(file_type="obj", include_normals=False)))


def _unlit(tree: dict[str, Any]) -> None:
    """Give every primitive a material that shows the colours as they are; matt where the extension is not known."""
    plain = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    tree["materials"] = [{"pbrMetallicRoughness": plain, "extensions": {"KHR_materials_unlit": {}}}]
    tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), "KHR_materials_unlit"]
    for part in tree["meshes"]:
        for primitive in part["primitives"]:
            primitive["material"] = 0


def _linear(srgb: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
