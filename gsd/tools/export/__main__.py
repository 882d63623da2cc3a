"""The scene of a run as a file: gsd export RUN_FOLDER --format glb|obj|ply|splat|spz [device=NAME]

glb and obj are meshes with a texture (y up, front along +z): glb holds it, obj has a .mtl and a .png beside it. ply,
splat and spz are Gaussians (ply and splat: y down, front along -z; spz: y up, front along +z). The last checkpoint is
taken, so a run need not be finished.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.tools.device import HELP, alone

MOST = 1024  # voxels along a side: their cube takes 9 GB


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="outputs/PROMPT/SIGNATURE, or a folder below multirun/")
    parser.add_argument("--format", help="glb, obj, ply, splat or spz; without it, the ending of --out")
    parser.add_argument("--out", type=Path, help="without it, scene.FORMAT in the run folder")
    parser.add_argument("--resolution", type=int, default=160, help="of a mesh: voxels along its longest side (160)")
    parser.add_argument(
        "--colors", choices=("texture", "vertex"), default="texture", help="of a mesh: texture (the default) or vertex"
    )
    parser.add_argument(
        "--level", type=float, help="of a field's mesh: density of the surface; without it, half of that where rays end"
    )
    parser.add_argument(
        "--spz-version", type=int, choices=(2, 3), default=2, help="2 (the default) is read by all viewers, 3 is finer"
    )
    parser.add_argument("--min-opacity", type=float, default=0.02, help="leave out fainter Gaussians (0.02)")
    parser.add_argument("--particle", type=int, default=0, help="which scene of a run with particles=K (0)")
    parser.add_argument("words", nargs="*", metavar="device=NAME", help=HELP)
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.tools.export.scene import FORMATS, Options, export

    kind = args.format or (args.out.suffix.lstrip(".") if args.out else "")
    if kind not in FORMATS:
        raise GsdError(f"--format {kind or 'is missing'}: choose {', '.join(FORMATS)}.")
    if not 0 <= args.min_opacity < 1:
        raise GsdError(f"--min-opacity {args.min_opacity:g} must be at least 0 and below 1.")
    if not 8 <= args.resolution <= MOST:
        raise GsdError(f"--resolution {args.resolution}: must be from 8 to {MOST}; a mesh takes its cube in voxels.")
    if args.level is not None and not 0 < args.level < math.inf:
        raise GsdError(f"--level {args.level:g} must be above 0 and finite.")
    out = args.out or args.folder / f"scene.{kind}"
    if out.suffix != f".{kind}":
        raise GsdError(f"--out {out} must end in .{kind}, the format asked for.")
    options = Options(kind, args.resolution, args.colors, args.level, args.spz_version, args.min_opacity)
    step = export(args.folder, out, options, args.particle, alone(args.words))
    print(f"{out} (the scene after {step} steps)")


if __name__ == "__main__":
    main()
