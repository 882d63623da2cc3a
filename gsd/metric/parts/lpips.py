"""LPIPS with weights from the user's disk; nothing is downloaded."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError

CHUNK = 8  # pairs at a time


class Lpips:
    """LPIPS version 0.1 (Zhang et al. 2018) on AlexNet: the package's linear weights on the given trunk.

    Raises GsdError if the package or the file is missing, or the file holds no AlexNet of torchvision.
    """

    def __init__(self, weights: str | Path, device: torch.device) -> None:
        mend_torchvision()
        try:
            import lpips
        except ImportError:
            raise GsdError(
                "LPIPS needs lpips: pip install -e '.[lpips]' in a checkout, or leave out the weights."
            ) from None
        path = Path(weights).expanduser()
        if not path.is_file():
            raise GsdError(f"{path}: no such file; give torchvision's AlexNet (alexnet-owt-7be5be79.pth), or null.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # lpips calls a deprecated interface of torchvision
            self.network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).to(device)
        trunk = self.network.net
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            # slice2.3.weight of the package is features.3.weight of torchvision
            trunk.load_state_dict({k: state[f"features.{k.split('.', 1)[1]}"] for k in trunk.state_dict()})
        except Exception as error:  # torch raises many kinds for a damaged file or one of another network
            raise GsdError(f"{path} holds no AlexNet of torchvision ({type(error).__name__}).") from error

    @torch.no_grad()
    def __call__(self, a: Float[Tensor, "K 3 H W"], b: Float[Tensor, "K 3 H W"]) -> Float[Tensor, " K"]:
        """The distance of each pair of images, values in [0, 1]."""
        pairs = zip(a.split(CHUNK), b.split(CHUNK), strict=True)
        return torch.cat([self.network(x, y, normalize=True).flatten() for x, y in pairs])
