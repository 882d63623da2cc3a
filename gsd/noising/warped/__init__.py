"""Noise that is carried from an anchor view into the others."""
