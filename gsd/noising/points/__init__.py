"""Noise attached to points: counter-based values, sub-points, splatting into maps, whitening."""
