"""gsd: a laboratory for text-to-3D score distillation.

    cfg = gsd.compose("noising=random", "steps=50")      # as `python run.py noising=random steps=50` makes it
    run = gsd.run(cfg)                                   # outputs/NAME/SIGNATURE, as the command
    for state in gsd.optimise(gsd.build(cfg)): ...       # or step by step, without a folder
    gsd.read("multirun/ablation").to_dicts()             # run folders as a table

Conventions, fixed for every module: the world is right-handed with z up and the object's front along +x; azimuth 0 is
the front and grows counter-clockwise seen from above; public angles are in degrees. Cameras are OpenCV's (x right,
y down, z forward) with pixel centres at +0.5 and depth the camera-space z. Images are float32 [V, 3, H, W] in [0, 1],
latents [V, C, h, w]. Diffusion is written in the paper's sigma space: x = z + sigma n.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsd.cli.hydra import compose
    from gsd.errors import GsdError
    from gsd.experiment import Experiment, build
    from gsd.loop import optimise
    from gsd.results.folder import RunFolder
    from gsd.results.runs import Run
    from gsd.results.table import Table, read
    from gsd.runner.run import run
    from gsd.types import StepState

__version__ = "0.1.0"
__all__ = [
    "Experiment",
    "GsdError",
    "Run",
    "RunFolder",
    "StepState",
    "Table",
    "build",
    "compose",
    "optimise",
    "read",
    "run",
]

_HOMES = {  # imported when they are asked for, so that `import gsd` and --help stay quick
    "Experiment": "gsd.experiment",
    "GsdError": "gsd.errors",
    "Run": "gsd.results.runs",
    "RunFolder": "gsd.results.folder",
    "StepState": "gsd.types",
    "Table": "gsd.results.table",
    "build": "gsd.experiment",
    "compose": "gsd.cli.hydra",
    "optimise": "gsd.loop",
    "read": "gsd.results.table",
    "run": "gsd.runner.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gsd' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
