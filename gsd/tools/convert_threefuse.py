"""3DFuse's sparse depth injector for prior=threefuse: gsd convert-3dfuse FOLDER [--file FILE]

Downloads the authors' checkpoint from the hub, or takes FILE, and writes its ControlNet to FOLDER for diffusers:

    gsd convert-3dfuse injector
    gsd prior=threefuse prior.controlnet=injector prior.radius=0.01 ...

The checkpoint is a pickle of which weights alone are read; no pickled code is run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError

REPOSITORY = "jyseo/3DFuse_weights"  # of Seo et al. 2023, for SD 1.5
FILE = "models/3DFuse_sparse_depth_injector.ckpt"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd convert-3dfuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--file", type=Path, help=f"a copy of {FILE}; without, it is downloaded from {REPOSITORY}")
    args = parser.parse_args()
    guarded(lambda: _run(args.folder, args.file))


def _run(folder: Path, file: Path | None) -> None:
    from gsd.prior.parts.convert import controlnet

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GsdError(f"{folder} is there already; name a folder that is new or empty.")
    controlnet(file or _downloaded(), folder)
    print(f"{folder} holds 3DFuse's ControlNet: prior=threefuse prior.controlnet={folder} prior.radius=0.01")


def _downloaded() -> Path:
    import huggingface_hub

    from gsd.backend.checkpoint import downloaded

    remedy = f"get {FILE} where there is a network, from {REPOSITORY} on the hub, and give it by --file"
    return downloaded("3DFuse's checkpoint", lambda: huggingface_hub.hf_hub_download(REPOSITORY, FILE), remedy)


if __name__ == "__main__":
    main()
