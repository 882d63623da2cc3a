"""Meshes as .glb or .obj; y up, front along +z.

The colours hold the light already, hence materials that are not lit, or matt where a reader does not know that. glTF
defines textures as sRGB and vertex colours as linear; these have 16 bits, for 8 linear ones leave the darks 14 levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.meshing.mesh import WORLD_TO_Y_UP, Mesh, TexturedMesh
from gsd.meshing.texture import to_linear

LINEAR, MIPMAPS, TO_EDGE = 9729, 9987, 33071  # of glTF, as of OpenGL: filters, no repetition
VERTICES, INDICES = 34962, 34963  # what a buffer is used for


def glb(mesh: Mesh | TexturedMesh) -> bytes:
    """One file, with the texture inside as .png."""
    from trimesh.exchange.gltf import export_glb
    from trimesh.visual.material import PBRMaterial

    if isinstance(mesh, TexturedMesh):
        material = PBRMaterial(baseColorTexture=_picture(mesh), metallicFactor=0.0, roughnessFactor=1.0)
        body = _body(mesh, visual=_visual(mesh, material))
    else:
        body = _body(mesh)
        body.vertex_attributes["COLOR_0"] = _linear_16_bit(mesh.rgb)
    return bytes(export_glb(body, include_normals=True, tree_postprocessor=_finished))


def obj(mesh: Mesh | TexturedMesh, stem: str) -> dict[str, bytes]:
    """Contents by file name: STEM.obj, and the .mtl and .png that a textured one names.

    Many readers end those names at a space, hence _ in its place.
    """
    from trimesh.exchange.obj import export_obj
    from trimesh.visual.material import SimpleMaterial

    name = "_".join(stem.split())
    if isinstance(mesh, TexturedMesh):
        black, white = [0, 0, 0], [255, 255, 255]
        material = SimpleMaterial(_picture(mesh), white, white, black, glossiness=0, name=name)
        body = _body(mesh, visual=_visual(mesh, material))
    else:
        body = _body(mesh, vertex_colors=(255 * mesh.rgb).round().to(torch.uint8).numpy())
    text, beside = export_obj(body, include_normals=True, return_texture=True, mtl_name=f"{name}.mtl")
    return {**beside, f"{stem}.obj": text.encode()}


def _body(mesh: Mesh | TexturedMesh, **colours: Any) -> Any:
    from trimesh import Trimesh

    vertices, normals = ((x @ WORLD_TO_Y_UP.T).numpy() for x in (mesh.vertices, mesh.normals))
    return Trimesh(vertices, mesh.faces.numpy(), vertex_normals=normals, process=False, **colours)


def _picture(mesh: TexturedMesh) -> Any:
    from PIL import Image

    picture = Image.fromarray((255 * mesh.texture).round().to(torch.uint8).numpy())
    picture.format = "PNG"  # trimesh reads the kind of file from here
    return picture


def _visual(mesh: TexturedMesh, material: Any) -> Any:
    from trimesh.visual import TextureVisuals

    u, v = mesh.uv.numpy().T
    return TextureVisuals(np.stack([u, 1 - v], 1), material)  # trimesh and .obj count v from the bottom


def _finished(tree: dict[str, Any]) -> None:
    """What trimesh has no argument for: materials without light, the sampler, colours of 16 bits, uses of buffers."""
    plain = {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}
    for material in tree.setdefault("materials", [plain]):
        material["extensions"] = {"KHR_materials_unlit": {}}
    tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), "KHR_materials_unlit"]
    for texture in tree.get("textures", []):
        tree["samplers"] = [{"magFilter": LINEAR, "minFilter": MIPMAPS, "wrapS": TO_EDGE, "wrapT": TO_EDGE}]
        texture["sampler"] = 0
    for primitive in (p for part in tree["meshes"] for p in part["primitives"]):
        primitive["material"] = 0
        if "_COLOR_0" in primitive["attributes"]:
            colour = primitive["attributes"]["COLOR_0"] = primitive["attributes"].pop("_COLOR_0")
            tree["accessors"][colour]["normalized"] = True
        for use, accessors in ((INDICES, [primitive["indices"]]), (VERTICES, primitive["attributes"].values())):
            for accessor in accessors:
                tree["bufferViews"][tree["accessors"][accessor]["bufferView"]]["target"] = use


def _linear_16_bit(srgb: Float[Tensor, "N 3"]) -> np.ndarray:
    """RGBA, since the values of an attribute must begin at multiples of 4 bytes."""
    return np.pad((65535 * to_linear(srgb)).round().numpy().astype(np.uint16), ((0, 0), (0, 1)), constant_values=65535)
