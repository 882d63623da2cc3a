"""Text to 3D by score distillation: python run.py prompt="a cat with a hat". See --help."""

import os

# Idle OpenMP threads must sleep, not spin: several runs often share a machine. Read by torch when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hydra
from omegaconf import DictConfig

from gsd.cli import guarded


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    from gsd.run import run

    run(cfg)


if __name__ == "__main__":
    guarded(main)
