"""The ranges of options. Every number that a user may set has a lower and an upper bound in its type, and is finite.

The bounds are wide: they stop a slip of the keyboard (nan, 1e38, a digit too many) before anything is computed. What
the machine can hold is checked by `gsd.memory`. Cheap to import: the command line needs it before torch.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval

Fraction = Annotated[float, Interval(ge=0, le=1)]
Length = Annotated[float, Interval(ge=1e-6, le=1000)]  # world units
Yaw = Annotated[float, Interval(ge=-360, le=360)]  # degrees
Degrees = Annotated[float, Interval(ge=-89, le=89)]  # of elevation
Fov = Annotated[float, Interval(ge=1, le=170)]  # degrees
Distance = Annotated[float, Interval(ge=0.1, le=1000)]  # of a camera, world units
Strength = Annotated[float, Interval(ge=0, le=10_000)]  # a factor, such as a guidance scale
Seconds = Annotated[float, Interval(gt=0, le=86_400)]

Count = Annotated[int, Interval(ge=1, le=10**9)]  # of steps or points
StepNumber = Annotated[int, Interval(ge=0, le=10**9)]
Few = Annotated[int, Interval(ge=1, le=1024)]  # of what is handled one by one, such as views or layers
Variants = Annotated[int, Interval(ge=1, le=64)]  # individuals of a creature
Pixels = Annotated[int, Interval(ge=8, le=4096)]  # along a side
Seed = Annotated[int, Interval(ge=0, le=2**63 - 1)]
