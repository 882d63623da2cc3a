"""Small pictures of one view as a single one, with their names, for the panel."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

SIDE, COLUMNS, GAP, LINE = 150, 3, 8, 26  # pixels, tiles per row, pixels between tiles, height of a name
PAPER, INK = (255, 255, 255), (60, 60, 60)
BLANK = np.full((1, 1, 3), 255, np.uint8)  # until there is a picture


def labelled(pictures: dict[str, UInt8[np.ndarray, "H W 3"]]) -> UInt8[np.ndarray, "height width 3"]:
    """Tiles of equal size in rows, each below its name; small maps are magnified without smoothing."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, rows * (LINE + SIDE + GAP) - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for k, (name, picture) in enumerate(pictures.items()):
        x, y = k % COLUMNS * (SIDE + GAP), k // COLUMNS * (LINE + SIDE + GAP)
        draw.text((x, y), name, fill=INK, font_size=LINE - 8)
        sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y + LINE))
    return np.asarray(sheet)
