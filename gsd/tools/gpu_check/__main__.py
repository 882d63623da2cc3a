"""What holds on this machine's GPU, and what it costs there: gsd gpu-check [--minutes 8] [--out FOLDER]

Compares every kernel, every noising and a dozen configurations with the CPU's, kills and continues a run, holds the
noise to what it claims, and measures steps of Stable Diffusion's size with random weights made on the device: time,
memory, shares of the stages, host syncs. It needs no network. gpu.json, gpu.md and pictures are written as results
come in, so that a check that is cut off loses none. The worthiest stages come first; those that do not fit into the
minutes are listed as not run. The exit code is 1 if something failed. docs/gpu.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError, did_you_mean


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="that the check may take")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu-check"), help="folder of the results")
    parser.add_argument("--device", default="cuda", help="cuda, or one of several: cuda:1")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="some of the stages, as steps cost")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing is downloaded
    from gsd.backend.device import pick_device
    from gsd.tools.gpu_check.check import check
    from gsd.tools.gpu_check.sizes import Sizes
    from gsd.tools.gpu_check.stages import STAGES

    device = pick_device(args.device)
    if device.type != "cuda":
        raise GsdError(f"gsd gpu-check measures GPUs, and --device={args.device} is none; use --device=cuda.")
    known = [stage.name for stage in STAGES]
    for name in args.only or ():
        if name not in known:
            raise GsdError(f"There is no stage {name!r}; choose {', '.join(known)}{did_you_mean(name, known)}")
    stages = [stage for stage in STAGES if not args.only or stage.name in args.only]
    outcomes = check(args.out, device, args.minutes, Sizes(), stages)
    if failed := [outcome.name for outcome in outcomes if outcome.failed]:
        sys.exit(f"failed: {', '.join(failed)}; see {args.out / 'gpu.md'}")


if __name__ == "__main__":
    main()
