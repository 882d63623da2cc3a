"""Every creature of the menagerie from eight azimuths, one row each: python experiments/figures/contact_sheet.py"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from gsd.geometry import turntable
from gsd.menagerie import load, trace

LABEL = 18  # pixels above each row


def sheet(names: list[str], resolution: int, views: int = 8, variants: int = 1) -> Image.Image:
    """One labelled row per creature and variant: azimuth 0 (the front) at the left, then counter-clockwise."""
    creatures = load()
    rows = [(name, variant) for name in names for variant in range(variants)]
    picture = Image.new("RGB", (views * resolution, len(rows) * (resolution + LABEL)), "white")
    draw = ImageDraw.Draw(picture)
    cameras = turntable(views, resolution)
    for row, (name, variant) in enumerate(rows):
        rgb = trace(creatures[name].figure(variant), cameras, supersample=3).rgb
        strip = (torch.cat(list(rgb), -1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        top = row * (resolution + LABEL)
        picture.paste(Image.fromarray(strip), (0, top + LABEL))
        draw.rectangle([0, top, picture.width, top + LABEL - 1], fill="#eeeeee")
        draw.text((4, top + 3), name if variants == 1 else f"{name}, variant {variant}", fill="black")
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/contact_sheet.png"))
    parser.add_argument("--creature", nargs="*", default=list(load()), choices=list(load()), metavar="NAME")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--variants", type=int, default=1)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(args.creature, args.resolution, variants=args.variants).save(args.out)
    print(args.out)


if __name__ == "__main__":
    main()
