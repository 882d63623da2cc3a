"""A run in the browser: gsd view RUN_FOLDER [device=NAME]

Shows the scene of the last checkpoint, turntable cameras, the strips of pictures and the curves. A run that is still
going on is followed from checkpoint to checkpoint; viewer=viser shows it step by step.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.tools.device import HELP, alone


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd view", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="outputs/PROMPT/SIGNATURE, or a folder below multirun/")
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1 (the default): this machine alone; 0.0.0.0: all")
    parser.add_argument("--port", type=int, help="without it, the first free one from 8080 on")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this machine"
    )
    parser.add_argument("--particle", type=int, default=0, help="which scene of a run with particles=K (0)")
    parser.add_argument("words", nargs="*", metavar="device=NAME", help=HELP)
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.port is not None and not 1 <= args.port <= 65535:
        raise GsdError(f"--port {args.port} must be from 1 to 65535.")
    from gsd.browser.server import address, require_viser, serving

    require_viser("gsd view")
    from gsd.tools.view.followed import Followed
    from gsd.tools.view.page import Page

    run = Followed(args.folder, args.particle, alone(args.words))
    with serving(args.host, args.port, run.prompt, args.allow_host) as server:
        page = Page(server, run)
        print(f"{address(server)} shows {args.folder} after {run.step} steps; Ctrl+C ends this.", flush=True)
        page.refresh_for_ever()


if __name__ == "__main__":
    main()
