"""3D Gaussians as the .ply that INRIA's 3D Gaussian splatting defined and other viewers open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from plyfile import PlyData, PlyElement
from torch import Tensor

from gsd import __version__
from gsd.errors import GsdError
from gsd.rasterizer.ply_file import vertices
from gsd.rasterizer.sh import basis

# Such files have x right, y down, z forward: our front (+x) faces the viewer (-z), our up (+z) is -y.
WORLD_TO_FILE = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
QUAT_TO_FILE = torch.tensor([0.5, 0.5, 0.5, -0.5])  # the same rotation, wxyz
SH_C0 = 0.28209479177387814  # the constant spherical harmonic: rgb = 0.5 + SH_C0 f_dc
OPAQUE = 16.0  # logit that the sigmoid still tells from 1
REST = (0, 9, 24, 45)  # columns f_rest, by the degree of the harmonics
BASE, SCALE, ROT = ([f"{name}_{i}" for i in range(count)] for name, count in (("f_dc", 3), ("scale", 3), ("rot", 4)))
WHOLE = frozenset(["x", "y", "z", "opacity", *BASE, *SCALE, *ROT])  # columns of every file of the layout


@dataclass(frozen=True)
class Splats:
    """N Gaussians as they are stored: before any activation, in world coordinates."""

    means: Float[Tensor, "N 3"]
    quats: Float[Tensor, "N 4"]  # wxyz
    log_scales: Float[Tensor, "N 3"]
    opacity_logits: Float[Tensor, " N"]
    sh: Float[Tensor, "N K 3"]  # K = (degree + 1)^2


def opaque(splats: Splats, least: float) -> Splats:
    """The Gaussians whose opacity is at least `least`; all of them if none is."""
    kept = splats.opacity_logits.sigmoid() >= least
    return Splats(**{name: value[kept] for name, value in vars(splats).items()}) if kept.any() else splats


def save_ply(path: Path, splats: Splats) -> None:
    """Write all 62 columns (fewer for SH degrees below 3): x y z, normals (zero), f_dc, f_rest, opacity, scale, rot.

    f_rest is channel-major: every coefficient of red, then green, then blue.
    """
    comments = [f"gsd {__version__}", "axes: x right, y down, z forward; front towards -z; units of the gsd world"]
    described(turned(splats, WORLD_TO_FILE, QUAT_TO_FILE), comments).write(str(path))


def described(s: Splats, comments: list[str]) -> PlyData:
    """The columns of the layout, in the axes that `s` has."""
    count, coefficients, _ = s.sh.shape
    rest = s.sh[:, 1:].transpose(1, 2).reshape(count, -1)
    columns = {
        **_columns("xyz", s.means),
        **_columns(["nx", "ny", "nz"], torch.zeros_like(s.means)),
        **_columns(BASE, s.sh[:, 0]),
        **_columns([f"f_rest_{i}" for i in range(3 * (coefficients - 1))], rest),
        "opacity": s.opacity_logits,
        **_columns(SCALE, s.log_scales),
        **_columns(ROT, torch.nn.functional.normalize(s.quats, dim=-1)),
    }
    table = np.empty(count, dtype=[(name, "<f4") for name in columns])
    for name, values in columns.items():
        table[name] = values.detach().cpu().numpy()
    return PlyData([PlyElement.describe(table, "vertex")], byte_order="<", comments=comments)


def load_ply(path: Path) -> Splats:
    """Read what save_ply or another writer of the layout wrote.

    Raises GsdError for a damaged file, a missing column, coefficients of no whole degree, numbers that are not finite.
    """
    return splats_of(vertices(path), path)


def splats_of(columns: Mapping[str, np.ndarray], path: Path) -> Splats:
    """`load_ply` of a file whose columns have been read."""

    def stack(wanted: Sequence[str]) -> Float[Tensor, "N K"]:
        absent = [n for n in wanted if n not in columns]
        if absent:
            raise GsdError(f"{path}: not a file of Gaussians; the column '{absent[0]}' is missing.")
        stacked = torch.from_numpy(np.stack([columns[n].astype(np.float32) for n in wanted], 1))
        if not stacked.isfinite().all():
            raise GsdError(f"{path}: a number of {wanted[0]} ... {wanted[-1]} is not finite; write the file anew.")
        return stacked

    if "opacity" in columns:  # programs that store it in 8 bits write infinity for 0 and 1
        opacity = np.nan_to_num(columns["opacity"], nan=np.nan, posinf=OPAQUE, neginf=-OPAQUE)
        columns = {**columns, "opacity": opacity}
    count = sum(name.startswith("f_rest_") for name in columns)
    if count not in REST:
        raise GsdError(
            f"{path}: it has {count} columns f_rest; {', '.join(map(str, REST))} are those of degrees 0 to 3."
        )
    dc = stack(BASE)[:, None]
    rest = stack([f"f_rest_{i}" for i in range(count)]) if count else None
    higher = dc[:, :0] if rest is None else rest.unflatten(1, (3, -1)).transpose(1, 2)
    in_file = Splats(
        means=stack("xyz"),
        quats=stack(ROT),
        log_scales=stack(SCALE),
        opacity_logits=stack(["opacity"])[:, 0],
        sh=torch.cat([dc, higher], 1),
    )
    return turned(in_file, WORLD_TO_FILE.T, QUAT_TO_FILE * QUAT_TO_FILE.new_tensor([1, -1, -1, -1]))


def _columns(names: list[str] | str, values: Float[Tensor, "N K"]) -> dict[str, Float[Tensor, " N"]]:
    return dict(zip(names, values.unbind(1), strict=True))


def turned(s: Splats, rotation: Float[Tensor, "3 3"], quat: Float[Tensor, " 4"]) -> Splats:
    """The scene rotated as a whole, view-dependent colours included."""
    here = {k: v.detach().cpu() for k, v in vars(s).items()}
    return Splats(
        means=here["means"] @ rotation.T,
        quats=quat_product(quat, here["quats"]),
        log_scales=here["log_scales"],
        opacity_logits=here["opacity_logits"],
        sh=torch.einsum("kl,nlc->nkc", _sh_rotation(rotation, s.sh.shape[1]), here["sh"]),
    )


def _sh_rotation(rotation: Float[Tensor, "3 3"], coefficients: int) -> Float[Tensor, "K K"]:
    """M with basis(R d) . (M c) = basis(d) . c for every direction d; exact, since rotations keep each degree."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator, dtype=torch.float64), dim=-1)
    degree = round(coefficients**0.5) - 1
    before, after = basis(directions, degree), basis(directions @ rotation.T.double(), degree)
    return torch.linalg.lstsq(after, before).solution.float()


def quat_product(a: Float[Tensor, "*#n 4"], b: Float[Tensor, "*#n 4"]) -> Float[Tensor, "*#n 4"]:
    """Hamilton product, wxyz: first b, then a."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )
