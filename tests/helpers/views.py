"""Cameras that look from where they are told."""

import torch

from gsd.geometry import orbit


def looking(*angles, elevation=0.0):
    az = torch.tensor(angles, dtype=torch.float32)
    full = torch.ones_like(az)
    return orbit(az, elevation * full, 2.0 * full, 40.0 * full, 8, 8)
