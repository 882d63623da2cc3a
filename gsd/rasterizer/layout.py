"""What the kernels agree on: the sizes of blocks and tiles, the rules of compositing, the columns of their tables.

njit compiles these numbers in.
"""

import math

import numpy as np

from gsd.rasterizer.simd import LANES

F = np.float32
BW = 4  # a block of pixels fills one vector: BW wide, BH high
BH = LANES // BW
TILE = 64  # pixels; a tile's blocks stay in the L2 cache while its Gaussians are composited
TBX, TBY = TILE // BW, TILE // BH
BLOCKS = TBX * TBY

ALPHA_MIN = 1 / 255
ALPHA_MAX = 0.999
T_MIN = 1e-4
S_MAX = math.log(255)
SLACK = F(0.01)  # pixels added around the cutoff ellipse when blocks are chosen; the exact test is per pixel

# A projected Gaussian is a row of 16 floats, one cache line. With d = pixel - (X, Y), v = d_y and u = d_x - SHEAR v the
# exponent is s = HA u^2 + HC v^2: a sum of squares, which rounding cannot make negative however thin the ellipse.
# It is cut off at s = CUTOFF, where alpha is 1/255: an ellipse in a box of half size (RX, RY), whose row at height v
# spans u = -+ sqrt(SQUARE - RATIO v^2) and which is widest at v = +-TOP.
ROW = 16
X, Y, SHEAR, HA, HC, OPACITY, CUTOFF, RED, GREEN, BLUE, DEPTH, RX, RY, SQUARE, RATIO, TOP = range(ROW)
GRADIENT = 16  # x y shear ha hc opacity r g b depth, and six unused to fill the cache line

# Constants of the pixel loops: six coefficients of exp, then these. The loops take them as an argument because LLVM
# would load each compile-time constant anew for every block; values that come from memory stay where they are put.
AT_ALPHA_MAX, AT_T_MIN, AT_ONE = 6, 7, 8
EXP = (-1.7906975e-07, 9.718420e-06, -3.2420562e-04, 7.8107349e-03, -1.2499911e-01, 0.99999993)
TABLE = np.array([*EXP, ALPHA_MAX, T_MIN, 1.0], np.float32)
