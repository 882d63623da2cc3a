"""gsd: a laboratory for text-to-3D score distillation.

Conventions, fixed for every module: the world is right-handed with z up and the object's front along +x; azimuth 0 is
the front and grows counter-clockwise seen from above; public angles are in degrees. Cameras are OpenCV's (x right,
y down, z forward) with pixel centres at +0.5 and depth the camera-space z. Images are float32 [V, 3, H, W] in [0, 1],
latents [V, C, h, w]. Diffusion is written in the paper's sigma space: x = z + sigma n.
"""

__version__ = "0.1.0"
