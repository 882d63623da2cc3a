"""Make a start and keep it: gsd init [init=NAME] [prompt=...] [seed=N] [init.KEY=VALUE ...] [device=NAME] --out FILE

Writes the cloud as .ply or .npz, and beside it the picture that it was made of (init.image=auto). init=point_cloud
starts from the file: to look at a cloud before it is used, to mend it, or to share it between runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd init", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a .ply or .npz file")
    parser.add_argument("overrides", nargs="*", help="as for run.py: init=point_e prompt='an owl' init.yaw=80")
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args.overrides, args.out))


def _run(overrides: list[str], out: Path) -> None:
    from omegaconf import OmegaConf

    from gsd.backend.images import png
    from gsd.cli.hydra import compose
    from gsd.config import make
    from gsd.experiment import context_of, make_init
    from gsd.init.parts.cloud import save
    from gsd.protocols import AsksPrior, Prior
    from gsd.random import Stream

    cfg = compose(*overrides)
    if missing := sorted(str(key) for key in OmegaConf.missing_keys(cfg.init)):
        raise GsdError(f"init.{missing[0]} has no value; add init.{missing[0]}=...")
    context = context_of(cfg)
    init = make_init(cfg, context)
    if isinstance(init, AsksPrior) and init.asks_prior:
        init.ask(make(cfg.prior, "prior", context, Prior))
    cloud = init(Stream(cfg.seed, "init"))
    save(out, cloud)
    if isinstance(init, AsksPrior) and init.picture is not None:
        out.with_suffix(".png").write_bytes(png(init.picture))
        print(f"made of the picture {out.with_suffix('.png')}")
    print(f"{len(cloud.xyz)} points; use them with init=point_cloud init.path={out} init.radius=null")


if __name__ == "__main__":
    main()
