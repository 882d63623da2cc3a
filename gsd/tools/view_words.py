"""Do a prior's view words bind for a prompt? gsd view-words prompt=... [prior=NAME] [prompting=NAME] [KEY=VALUE ...]

Makes pictures under the text of every view and under the prompt alone, asks the prior itself which view's text explains
each best. Before the last line it says how much of the text's direction is the view's, from pure noise downwards; the
last line says in one sentence whether a picture's view is the one that was asked for. Where that is so no more often
than by chance, view guidance has nothing to strengthen.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gsd.cli.errors import guarded
from gsd.errors import GsdError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gsd.guidance.check.view_words import Hearing


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd view-words", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=4, help="per text (4)")
    parser.add_argument("--paths", type=int, default=1, help="of added noise, per picture that is classified (1)")
    parser.add_argument("overrides", nargs="*", help="as for run.py: prompt='an owl' prior=tiny seed=1")
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.cli.hydra import compose

    if min(args.pictures, args.paths) < 1:
        raise GsdError("--pictures and --paths must be at least 1.")
    cfg = compose(*args.overrides)
    _print(cfg.prompt, measured(cfg, args.pictures, args.paths))


def measured(cfg: DictConfig, pictures: int, paths: int) -> Hearing:
    """What the prior of a config hears in the texts of its prompting."""
    import torch

    from gsd.config import make
    from gsd.experiment import context_of
    from gsd.guidance.check.view_words import calls, hearing
    from gsd.protocols import Camera, ConditionsOnPoints, Prior, Prompting, ReadsTexts
    from gsd.random import Stream

    context = context_of(cfg)
    prompting = make(cfg.prompting, "prompting", context, Prompting)
    camera = make(cfg.camera, "camera", context, Camera)
    prior = make(cfg.prior, "prior", context, Prior)
    if prior.views is not None or isinstance(prior, ConditionsOnPoints):
        raise GsdError(
            f"prior {type(prior).__name__} is given cameras or points besides the text; ask one that has the text "
            "alone, such as prior=stable_diffusion."
        )
    if isinstance(prior, ReadsTexts):
        prior.prepare((*prompting.texts, cfg.prompt))
    print(f"Up to {calls(pictures, paths):,} predictions of one picture.", file=sys.stderr, flush=True)
    size = camera(Stream(cfg.seed, "camera")).width
    shape = prior.encode(torch.zeros(1, 3, size, size, device=context.device)).shape[1:]
    return hearing(prior, prompting, cfg.prompt, shape, Stream(cfg.seed, "view words"), pictures, paths, context.device)


def _print(prompt: str, heard: Hearing) -> None:
    from rich.console import Console
    from rich.table import Table

    from gsd.guidance.check.view_words import VIEWS

    table = Table("asked for", title=f"{prompt}: heard as", title_justify="left", title_style="bold")
    for view in VIEWS:
        table.add_column(view, justify="right")
    for asked, shares in zip(heard.asked, heard.shares.tolist(), strict=True):
        table.add_row(f"{asked} view" if asked else "the prompt alone", *(f"{100 * share:.0f} %" for share in shares))
    console = Console()
    console.print(table)
    steps = ", ".join(
        f"{ratio:.2g} at {step}" for step, ratio in zip(heard.steps, heard.differences.tolist(), strict=True)
    )
    print(f"|front - back| / |prompt - no text| by training step: {steps}")
    print(heard.verdict())


if __name__ == "__main__":
    main()
