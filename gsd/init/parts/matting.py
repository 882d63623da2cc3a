"""What of a picture is the object: by its border's colour, or by the package rembg."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import label
from torch import Tensor

from gsd.backend.images import uint8
from gsd.errors import GsdError, reason

FRAME = 1 / 32  # width of the border that is looked at, in sides of the picture
TOLERANCE = 0.1  # root mean square over r, g and b: colours this near to the border's are background
PLAIN = 0.8  # of the border's pixels must have its colour
INSTALL = "pip install 'rembg[cpu]'"
NETWORK = "u2net"  # Qin et al. 2020; rembg's default has changed, and is not free for every use


def border(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Alpha, 0 or 1: background is what has the colour of the border (its median) and hangs together with it.

    Right for an object on a plain ground, such as "white background" in a prompt asks for; parts of the object with the
    ground's colour stay where the ground does not reach them. Where less than PLAIN of the border has one colour, as in
    front of a landscape or where the object is cut off, everything stays, with a warning. Shadows count as object.
    """
    height, width = rgb.shape[1:]
    frame = torch.zeros(height, width, dtype=torch.bool)
    edge = max(1, round(FRAME * min(height, width)))
    frame[:edge], frame[-edge:], frame[:, :edge], frame[:, -edge:] = True, True, True, True
    colour = rgb[:, frame].median(1).values
    near = (rgb - colour[:, None, None]).square().mean(0).sqrt() < TOLERANCE
    if near[frame].float().mean() < PLAIN:
        logging.getLogger("gsd").warning(
            "gsd: the border of the prior's picture is not of one colour, so that its background stays; look at it "
            "(start.png), try another seed, or set init.picture.matting=rembg."
        )
        return torch.ones(height, width)
    parts, _ = label(near.numpy())
    outside = np.isin(parts, np.unique(parts[frame.numpy() & near.numpy()]))
    return torch.from_numpy(~(outside & near.numpy())).float()


def by_rembg(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Alpha in [0, 1], by the network U2-Net, which the package rembg downloads on first use."""
    require_rembg()
    from PIL import Image

    picture = Image.fromarray(uint8(rgb))
    try:
        import rembg

        mask: Any = rembg.remove(picture, only_mask=True, session=rembg.new_session(NETWORK))
    except (Exception, SystemExit) as error:  # of the download, of the file system; it exits without onnxruntime
        raise GsdError(
            f"init.picture.matting=rembg: the package failed ({reason(error)}); it needs onnxruntime ({INSTALL}) and "
            "downloads its network once. Or set init.picture.matting=border."
        ) from error
    return torch.from_numpy(np.array(mask.convert("L"), np.float32) / 255)


def require_rembg() -> None:
    if find_spec("rembg") is None:
        raise GsdError(
            f"init.picture.matting=rembg needs the package rembg: {INSTALL}, or set init.picture.matting=border."
        )
