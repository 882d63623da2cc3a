"""Hydra looks for plugins in this namespace only; what they do is in gsd/tools/sweep/."""

from gsd.tools.sweep.sweeper import Sweeper as _Sweeper


class Sweeper(_Sweeper):
    pass


try:
    from gsd.tools.sweep.slurm import SlurmLauncher as _SlurmLauncher
except ImportError:  # without hydra-submitit-launcher
    pass
else:

    class SlurmLauncher(_SlurmLauncher):
        pass


try:
    from gsd.tools.sweep.side_by_side import SideBySide as _SideBySide
except ImportError:  # without hydra-joblib-launcher
    pass
else:

    class SideBySide(_SideBySide):
        pass
