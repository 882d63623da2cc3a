"""Noise that lives on points: values by counter, canvas, sub-points, whitening."""
