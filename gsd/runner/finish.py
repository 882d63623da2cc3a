"""What a finished run leaves behind: turntable, pictures, scene, metrics, summary."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend import film
from gsd.backend.device import peak_memory
from gsd.backend.images import png, uint8
from gsd.experiment import Experiment
from gsd.particles import Particles
from gsd.protocols import OfGaussians, Representation
from gsd.rasterizer.ply import save_ply
from gsd.results.folder import RunFolder
from gsd.results.measure import means, measure, render_turntable
from gsd.results.provenance import commit, versions
from gsd.results.runs import Run
from gsd.runner.pictures import depth_picture, grid
from gsd.types import Render

FPS = 30
DARK = 0.15  # grey
STRIP_VIEWS = 8


@torch.no_grad()
def finish(
    experiment: Experiment, folder: RunFolder, machine: dict[str, str], seconds: float, prior_calls: int
) -> dict[str, Any]:
    """Render, measure, export; write summary.json and DONE. Returns the summary. Can be repeated after a crash.

    Of several particles, the first one's files are where a single scene's are and the others' in particle_1/ and so on;
    summary.json has the mean of every number, and the numbers of each under "particles".
    """
    scene = experiment.representation
    scenes = scene.scenes if isinstance(scene, Particles) else (scene,)
    asked = Run(folder.path)
    metrics = [_leave(s, experiment, folder, f"particle_{k}/" if k else "") for k, s in enumerate(scenes)]
    summary = {
        "prompt": experiment.prompt,
        "options": asked.choices,
        "overrides": asked.overrides,
        "seed": experiment.seed,
        **(metrics[0] if len(metrics) == 1 else means(metrics) | {"particles": metrics}),
        "prior_calls": prior_calls,
        "seconds": round(seconds, 3),
        "peak_memory_mb": round(peak_memory(experiment.device) / 2**20, 1),
        "machine": machine,
        "versions": versions(),
        "commit": commit(),
    }
    folder.finish(summary)
    return summary


def _leave(scene: Representation, experiment: Experiment, folder: RunFolder, prefix: str) -> dict[str, Any]:
    """The files of one scene, and what the metrics say of it."""
    show = render_turntable(scene, experiment.turntable)
    _write_pictures(show, folder, prefix)
    if isinstance(scene, OfGaussians):
        with folder.replacing(f"{prefix}scene.ply") as temporary:
            save_ply(temporary, scene.splats())
    return measure(experiment.metrics, show, experiment.turntable, experiment.prompt)


def _write_pictures(show: Render, folder: RunFolder, prefix: str) -> None:
    """turntable.mp4 and .png (a strip of eight views), turntable_dark.mp4, and rgb, depth and alpha in views/.

    Over white alone, white fog would stay unseen.
    """
    _write_film(show.rgb, folder, f"{prefix}turntable.mp4")
    if show.background is not None:
        darker = (DARK - show.background)[..., None, None]
        _write_film(show.rgb + (1 - show.alpha) * darker, folder, f"{prefix}turntable_dark.mp4")
    chosen = torch.arange(STRIP_VIEWS) * len(show.rgb) // STRIP_VIEWS
    depth, alpha = depth_picture(show), show.alpha.expand(-1, 3, -1, -1)
    folder.write(f"{prefix}turntable.png", png(grid(show.rgb[chosen][None])))
    for view in chosen.unique().tolist():
        for name, picture in (("rgb", show.rgb), ("depth", depth), ("alpha", alpha)):
            folder.write(f"{prefix}views/{view:03d}_{name}.png", png(picture[view]))


def _write_film(rgb: Float[Tensor, "V 3 H W"], folder: RunFolder, name: str) -> None:
    with folder.replacing(name) as temporary:
        film.write(temporary, [uint8(x) for x in rgb], FPS, str(folder / name))
