"""A repair that must run before diffusers, transformers, peft or open_clip are imported."""

from __future__ import annotations

from functools import cache

import torch


@cache
def mend_torchvision() -> None:
    """Let `import torchvision` succeed where its compiled operators do not load; do nothing where they do.

    The wheels of torchvision link against CUDA. Beside a CPU build of PyTorch their operators stay unregistered,
    `import torchvision` fails with "operator torchvision::nms does not exist", and so does every library that imports
    it. Declaring the two operators that torchvision refers to while it is imported is enough for all else of it: its
    Python parts (transforms) work, and only the box operators themselves raise when they are called.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return  # not installed: nothing refers to it either
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            _library().define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@cache
def _library() -> torch.library.Library:
    """Cached for the life of the process, because the operators vanish with it."""
    return torch.library.Library("torchvision", "FRAGMENT")
