"""Measure runs afterwards: gsd evaluate FOLDER... [metric=NAME,NAME] [metric.NAME.KEY=VALUE ...] [device=NAME]

FOLDER is a run folder or holds such; a run need not be finished, its last checkpoint is measured. Without metric=, the
metrics of each run's own config are. Writes evaluation.json into each run folder; reports show its numbers with those
of summary.json. Runs that cannot be measured are named and passed over.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsd.cli.errors import explained, guarded
from gsd.cli.folders import options
from gsd.errors import GsdError, did_you_mean
from gsd.results.folder import RunFolder
from gsd.results.runs import Run, find_runs
from gsd.tools.device import HELP, parted

if TYPE_CHECKING:
    import torch

NEEDED = {"prompt", "steps", "particles", "turntable", "metric", "representation"}  # of a run's config
TURNTABLE = {"views", "resolution", "fov", "distance", "elevation"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "arguments", nargs="+", metavar="FOLDER | metric=...", help=f"runs, what to measure of them; {HELP}"
    )
    parser.add_argument("--views", type=int, help="of the turntable; without it, as the run's config says")
    parser.add_argument("--resolution", type=int, help="pixels of the turntable; without it, as the run's config says")
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    device, words = parted(args.arguments)
    folders = [word for word in words if not word.startswith(("metric=", "metric."))]
    overrides = [word for word in words if word not in folders]
    for value, flag, most in ((args.views, "--views", 3600), (args.resolution, "--resolution", 4096)):
        if value is not None and not 8 <= value <= most:
            raise GsdError(f"{flag} {value}: must be from 8 to {most}.")
    for word in words:
        if "=" in word and word in folders and not Path(word).exists():
            raise GsdError(f"{word}: only metric= and what begins with metric. can be set, and device=; leave it out.")
    if not folders:
        raise GsdError("No folder is given; say for example gsd evaluate outputs.")
    runs, named = find_runs(folders), _composed(overrides)
    measured = {}
    for run in runs:
        try:
            section = _of_run(run, overrides) if named is None else named
            measured[run] = evaluate(run, section, device, args.views, args.resolution)
        except GsdError as error:
            print(f"{run.path}: {str(error).removesuffix('.')}. Left out.", file=sys.stderr)
    if not measured:
        raise GsdError("no run could be evaluated.")
    _show(measured)


def _composed(overrides: list[str]) -> Any:
    """The section metric that metric=a,b and its settings make; None if no metric is named."""
    lists = [o.removeprefix("metric=").strip("[]") for o in overrides if o.startswith("metric=")]
    if not lists:
        return None
    names, known = ",".join(lists).split(","), options("metric")
    for name in names:
        if name not in known:
            raise GsdError(f"metric={name} does not exist; choose {', '.join(known)}{did_you_mean(name, known)}")
    from gsd.cli.hydra import compose

    settings = [o for o in overrides if not o.startswith("metric=")]
    return compose(f"metric=[{','.join(names)}]", *settings).metric


def _of_run(run: Run, overrides: list[str]) -> Any:
    """The section metric of the run's config, with other settings."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from gsd.results.trust import configuration

    _check(run)
    try:
        cfg = OmegaConf.create({"metric": configuration(run.path).metric})
    except OmegaConfBaseException as error:
        raise GsdError(explained(error)) from error
    OmegaConf.set_struct(cfg, True)  # a setting of a metric that the run has not is refused
    return OmegaConf.merge(cfg, OmegaConf.from_dotlist(overrides)).metric


def evaluate(
    run: Run, section: Any, device: torch.device, views: int | None = None, resolution: int | None = None
) -> dict[str, Any]:
    """Measure the last checkpoint of a run and add it to evaluation.json: metric -> views, resolution, numbers.

    section: metric -> its settings, as in a config. Of several particles, numbers are the mean and "particles" has
    those of each. Raises GsdError where the run or its checkpoint is damaged, or a metric does not suit it.
    """
    import torch

    from gsd import memory
    from gsd.config import make
    from gsd.geometry import turntable
    from gsd.protocols import Metric
    from gsd.results.measure import means, measure, render_turntable
    from gsd.results.scene import load
    from gsd.settings import check_turntable
    from gsd.types import Context

    _check(run)
    if not section:
        raise GsdError("no metric is chosen; add for example metric=reprojection.")
    config = run.config
    context = Context(config["prompt"], device, config["steps"])
    metrics = {name: make(options, f"metric.{name}", context, Metric) for name, options in section.items()}
    t = config["turntable"] | {k: v for k, v in (("views", views), ("resolution", resolution)) if v is not None}
    check_turntable(t)
    memory.check_turntable(t["views"], t["resolution"], device)
    cameras = turntable(t["views"], t["resolution"], t["fov"], t["distance"], t["elevation"]).to(device)
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in metrics}
    for particle in range(config["particles"]):
        scene, step = load(run.path, particle, device)
        with torch.no_grad(), RunFolder(run.path).restoring():
            show = render_turntable(scene, cameras)
        for name, metric in metrics.items():
            measured[name].append(measure({name: metric}, show, cameras, config["prompt"]))
    entries = {}
    for name, each in measured.items():
        numbers = {"numbers": each[0]} if len(each) == 1 else {"numbers": means(each), "particles": each}
        entries[name] = {"views": t["views"], "resolution": t["resolution"], **numbers}
    _keep(run, step, entries)
    return entries


def _check(run: Run) -> None:
    if not run.recipe.keys() >= NEEDED or not run.recipe["turntable"].keys() >= TURNTABLE:
        raise GsdError(f"{run.path / 'config.yaml'} is missing or not a run's; repeat the run's command.")


def _keep(run: Run, step: int, entries: dict[str, Any]) -> None:
    """What other metrics have said of the same checkpoint stays."""
    before = run.evaluated.get("metrics", {}) if run.evaluated.get("step") == step else {}
    content = {"step": step, "metrics": before | entries}
    RunFolder(run.path).write("evaluation.json", json.dumps(content, indent=2) + "\n")


def _show(measured: dict[Run, dict[str, Any]]) -> None:
    """One table per metric, one row per run."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=400)
    for name in dict.fromkeys(name for entries in measured.values() for name in entries):
        rows = {run: entries[name]["numbers"] for run, entries in measured.items() if name in entries}
        keys = [k for k, value in next(iter(rows.values())).items() if not isinstance(value, list)]
        table = Table(title=name, title_justify="left", title_style="bold")
        table.add_column("run", overflow="fold", vertical="bottom")
        for key in keys:
            table.add_column(key.replace("_", " "), justify="right", vertical="bottom")
        for run, numbers in rows.items():
            table.add_row(str(Path(*run.path.parts[-2:])), *(f"{numbers[key]:.4g}" for key in keys))
        console.print(table)


if __name__ == "__main__":
    main()
