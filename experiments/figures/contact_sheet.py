"""Every creature of the menagerie from eight azimuths, one row each: python experiments/figures/contact_sheet.py"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import plots

from gsd.geometry import turntable
from gsd.menagerie import load, trace

VIEWS = 8


def sheet(names: list[str], resolution: int, variants: int) -> Any:
    """One row per creature and variant: azimuth 0 (the front) at the left, then counter-clockwise."""
    rows = [(name, variant) for name in names for variant in range(variants)]
    figure = plots.figure(VIEWS + 1.5, len(rows))
    for line, (name, variant) in zip(figure.subplots(len(rows), VIEWS, squeeze=False), rows, strict=True):
        rgb = trace(load()[name].figure(variant), turntable(VIEWS, resolution), supersample=3).rgb
        for axis, image in zip(line, rgb.movedim(1, -1), strict=True):
            label = name if variants == 1 else f"{name}, variant {variant}"
            plots.show(axis, image, label=label if axis is line[0] else "", interpolation="nearest")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/contact_sheet.png"))
    parser.add_argument("--creature", nargs="*", default=list(load()), choices=list(load()), metavar="NAME")
    parser.add_argument("--resolution", type=int, default=128, help="pixels of a picture (128)")
    parser.add_argument("--variants", type=int, default=1, help="individuals of each creature (1)")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(args.creature, args.resolution, args.variants).savefig(args.out, dpi=1.1 * args.resolution)
    print(args.out)


if __name__ == "__main__":
    main()
