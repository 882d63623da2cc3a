"""The W&B workspace and report of a sweep: gsd dashboard multirun/NAME [--dry-run]

The workspace opens with six panels that answer the question of the sweep. Closed below, as far as the runs have them:
final numbers and curves with their spread over seeds by what was swept, pictures by step and run, turntables, the
Gaussians in 3D, settings against the main metric, differences of the configs, noise and cost. The same command again
brings workspace and report up to date. They show the runs that logged to W&B (logger=wandb).
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd dashboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="multirun/NAME")
    parser.add_argument("--entity", help="user or team; without it, as the runs were logged, or yours")
    parser.add_argument("--project", help="without it, as the runs were logged, or gsd")
    parser.add_argument("--metric", help="the main one, as psnr_aligned; without it, the first there is")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent; needs no account, no network")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if find_spec("wandb_workspaces") is None:
        raise GsdError("gsd dashboard needs wandb-workspaces: pip install -e '.[dashboard]' in a checkout.")
    from gsd.tools.dashboard.content import content
    from gsd.tools.dashboard.views import report, spec, workspace

    found = content(args.sweep, args.metric)
    for sentence in found.notes:
        print(sentence, file=sys.stderr)
    entity = args.entity or found.logged.get("entity", "")
    project = args.project or found.logged.get("project", "gsd")
    if args.dry_run:
        made = spec(workspace(found, entity, project), report(found, entity, project))
        print(json.dumps(made, indent=1, ensure_ascii=False))
        return
    from gsd.tools.dashboard.send import default_entity, login, send

    api = login()
    entity = entity or default_entity(api)
    for done, url in send(api, workspace(found, entity, project), report(found, entity, project)).items():
        print(f"{done}: {url}")


if __name__ == "__main__":
    main()
