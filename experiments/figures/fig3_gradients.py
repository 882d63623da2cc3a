"""Fig. 3 of the paper: the gradients of two neighbouring views with random and with 3D consistent noise.

    python experiments/figures/fig3_gradients.py                  # half a minute, on a scene of its own
    python experiments/figures/fig3_gradients.py --scene outputs/a_full_body_of_a_cat_with_a_hat/SIGNATURE

Two views 5 degrees apart are noised and denoised with the run's own prior, guidance and prompts. Shown are their noise,
their gradients and the cosine of these at every pixel that both views see, at one noise level; beside them and in the
table, the mean cosine by noise level, over 4 places around the scene and --draws of the noise, with Student's interval
of 95 % over the draws.

The gradient is that of eq. 10, w (eps_hat - n), which moves the scene. Eq. 9 has the noise itself in it, which views
with 3D noise share whatever the prior says; its cosine stands beside. The place and the draw that are shown are those
whose cosines are nearest to the means.

Writes figure.png, figure.pdf, table.md and result.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plots
import scenes
import sweeps
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.experiment import Experiment
from gsd.geometry import co_visible, correspond, sample
from gsd.noise_levels import TRAIN_STEPS, sigma_at
from gsd.noising.check.acceptance import FAR
from gsd.noising.check.sight import AROUND, Sight
from gsd.protocols import Noising
from gsd.results import markdown
from gsd.statistics.estimates import mean
from gsd.tools.noising_check import configured
from gsd.types import Geometry, Noised, StepState
from gsd.warping.compare import cosine, gradient_cosine

LEVELS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.98)  # parts of Stable Diffusion's training steps
SHOWN = 3  # which of them is pictured
TOLERANCE = 0.07  # world units: depths this close are the same surface
LOOKS = ("0.25", "#c0392b")
MAPS = {"eq10": "eq. 10", "eq9": "eq. 9"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scenes.add_scene(parser, "one made here")
    parser.add_argument("--draws", type=int, default=8, help="of the noise, at each noise level (8)")
    parser.add_argument("--out", type=Path, default=Path("outputs/fig3"))
    sweeps.start(parser, _main)


def _main(args: argparse.Namespace) -> None:
    experiment, sight = scenes.opened(args.scene)
    if experiment.guidance.draws_own_noise:
        raise GsdError(f"The guidance of {args.scene} finds its own noise; take a run with another, as guidance=sds.")
    own = experiment.noising if "shared" in experiment.noising.claims else configured(["noising=consistent"])
    noisings = {"random noise": configured(["noising=random"]), "3D noise": own}
    seen = sight.views(0.0, 5.0, places=AROUND)
    sigmas = [float(sigma_at(torch.tensor(level * (TRAIN_STEPS - 1)))) for level in LEVELS]
    pictured: dict[str, list[StepState]] = {}
    cosines: dict[tuple[str, int], dict[str, list[float]]] = {}
    for name, noising in noisings.items():
        for k, sigma in enumerate(sigmas):
            states = list(noised(experiment, sight, seen, noising, sigma, args.draws))
            cosines[name, k] = {key: [compare(state, key) for state in states] for key in MAPS}
            if k == SHOWN:
                pictured[name] = states
    rows = [
        {"sigma": f"{sigma:.3g}"}
        | {f"{name}, {MAPS[key]}": str(mean(cosines[name, k][key])) for key in MAPS for name in noisings}
        for k, sigma in enumerate(sigmas)
    ]
    curves = {
        f"{name}, {MAPS[key]}": [float(np.mean(cosines[name, k][key])) for k in range(len(sigmas))]
        for name in noisings
        for key in MAPS
    }
    result = {"scene": sight.name, "steps": sight.steps, "sigma": sigmas, "cosine": curves}
    sweeps.publish(args.out, draw(typical(pictured), sigmas, curves), result, markdown.table(rows))


@torch.no_grad()
def noised(
    experiment: Experiment, sight: Sight, seen: Geometry, noising: Noising, sigma: float, draws: int
) -> Iterator[StepState]:
    """What steps with these views and this noise level would see; the scene stays as it is."""
    z = experiment.prior.encode(seen.render.rgb)
    condition = replace(
        experiment.prompting(seen.cameras.to("cpu")), cameras=seen.cameras, background=seen.render.background
    )
    levels = z.new_full((len(z),), sigma)
    for draw in range(draws):
        noise = noising(seen, z.shape[1], sight.rng.at(sight.rng.step + draw * FAR))
        given = Noised(z, noise, levels, condition, experiment.stream("guidance", sight.steps + draw))
        yield StepState(sight.steps, seen.cameras, seen, z, noise, levels, experiment.guidance(experiment.prior, given))


def compare(state: StepState, key: str) -> float:
    """The mean cosine of the views' gradients where both see the surface, of eq. 9 up to its sign and scale."""
    score = state.score if key == "eq10" else replace(state.score, gradient=state.score.eps)
    found = gradient_cosine(replace(state, score=score), TOLERANCE)
    if found is None:
        raise GsdError("No two views of the scene share a pixel; take the scene of a run that has gone on for longer.")
    return found


def typical(states: dict[str, list[StepState]]) -> dict[str, tuple[StepState, Tensor]]:
    """The draw and the views whose cosines are nearest to the means: the state and the two views by noising."""
    of_pairs = {
        name: torch.tensor([[float(agreement(s, 2 * k).nanmean()) for k in range(AROUND)] for s in each])
        for name, each in states.items()
    }
    distance = torch.stack([(each - each.nanmean()).abs().nan_to_num(9.0) for each in of_pairs.values()]).sum(0)
    draw, place = divmod(int(distance.argmin()), AROUND)
    return {name: (each[draw], torch.tensor([2 * place, 2 * place + 1])) for name, each in states.items()}


def agreement(state: StepState, view: int) -> Float[Tensor, "h w"]:
    """The cosine with the next view at every pixel of a view; nan where not both see the surface."""
    seen, gradient, i, j = state.geometry, state.score.gradient, slice(view, view + 1), slice(view + 1, view + 2)
    coords, z = correspond(seen.depth[i], seen.cameras[i], seen.cameras[j])
    both = co_visible(coords, z, seen.alpha[i], seen.depth[j], seen.alpha[j], TOLERANCE)
    return torch.where(both, cosine(gradient[i], sample(gradient[j], coords, "bilinear")), torch.nan)[0].cpu()


def draw(pictured: dict[str, tuple[StepState, Tensor]], sigmas: list[float], curves: dict[str, list[float]]) -> Any:
    figure = plots.figure(13.6, 3.7)
    left, right = figure.subfigures(1, 2, width_ratios=(9.2, 4.0))
    titles = (
        "scene",
        r"noise $\mathbf{n}_1$",
        r"$\mathbf{n}_2$, 5° further",
        r"gradient $\mathbf{g}_1$",
        r"$\mathbf{g}_2$",
    )
    axes = left.subplots(2, len(titles) + 1)
    for row, (name, (state, views)) in enumerate(pictured.items()):
        line, first = axes[row], row == 0
        for axis, image, title in zip(line, images(state, views), titles, strict=False):
            label = name if axis is line[0] else ""
            plots.show(axis, image, title if first else "", label, interpolation="nearest")
        cosines = agreement(state, int(views[0]))
        plots.show(line[-1], torch.zeros_like(cosines), cmap="Greys", vmin=-1, vmax=9)
        plots.show(
            line[-1], cosines, "cosine" if first else "", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest"
        )
        box, size = plots.window(state.geometry.alpha[views, 0].cpu()), len(cosines)
        for axis in line:
            axis.axis([box[0] * size - 0.5, box[2] * size - 0.5, box[3] * size - 0.5, box[1] * size - 0.5])
    bar = left.colorbar(line[-1].images[-1], ax=axes[:, -1], location="right", ticks=[-1, 0, 1], aspect=30)
    bar.ax.tick_params(labelsize=7, length=2)
    left.suptitle(rf"$\sigma$ = {sigmas[SHOWN]:.2g}", fontsize=9)
    axis = right.subplots()
    for k, (name, values) in enumerate(curves.items()):
        style = {"color": LOOKS[k // len(MAPS)], "ls": ":" if k % len(MAPS) else "-"}
        axis.plot(sigmas, values, marker="o", ms=3, label=name, **style)
    axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    axis.set(xscale="log", xlabel=r"noise level $\sigma$", title="cosine of the gradients of two views")
    axis.legend(loc="best")
    return figure


def images(state: StepState, views: Tensor) -> list[Float[Tensor, "h w 3"]]:
    """The first view, the noise of both and their gradients, three channels of them."""
    gradients, size = state.score.gradient[views], state.noise.shape[2:]
    scene = torch.nn.functional.interpolate(state.render.rgb[views[:1]], size, mode="area")
    noise = 0.5 + state.noise[views, :1].expand(-1, 3, -1, -1) / 6
    coloured = 0.5 + gradients[:, :3] / (6 * gradients.square().mean().sqrt())
    return [image.movedim(0, -1).clamp(0, 1).cpu() for image in (*scene, *noise, *coloured)]


if __name__ == "__main__":
    main()
