"""Noise that is warped from an anchor view into the others."""
