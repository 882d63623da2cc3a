"""The command `gsd`: a run or a sweep through Hydra, or a program on run folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from gsd.cli.folders import CONF, adopt

COMMANDS = {  # name -> module with a main()
    "convert": "gsd.tools.convert",
    "dashboard": "gsd.tools.dashboard.__main__",
    "evaluate": "gsd.tools.evaluate",
    "export": "gsd.tools.export.__main__",
    "init": "gsd.tools.init",
    "noising-check": "gsd.tools.noising_check",
    "report": "gsd.tools.report.__main__",
    "study": "gsd.tools.study.__main__",
    "sweep": "gsd.tools.sweep.__main__",
}


def main() -> None:
    """`gsd COMMAND ...`, else a job of Hydra: `gsd KEY=VALUE ...`."""
    # Idle OpenMP threads must sleep, not spin: several runs often share a machine. Read by torch when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from gsd.errors import GsdError

    try:
        name, *rest = adopt(sys.argv[1:]) or [""]
    except GsdError as error:
        sys.exit(f"error: {error}")
    if name in COMMANDS:
        sys.argv = [sys.argv[0], *rest]
        import_module(COMMANDS[name]).main()
    elif {"--help", "-h"} & {name, *rest}:
        from gsd.cli.help import help_text

        print(help_text(COMMANDS))
    else:
        sys.argv = [sys.argv[0], *([name, *rest] if name else [])]
        _refuse_unknown(name)
        _run()


def _refuse_unknown(name: str) -> None:
    from gsd.errors import did_you_mean

    if name.replace("-", "").isalpha() and not name.startswith("-"):
        sys.exit(f"error: there is no command {name!r}: {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}.")


def _run() -> None:
    from gsd.cli.errors import guarded
    from gsd.config import register

    register()
    guarded(_hydra_main())


def _hydra_main() -> Callable[[], Any]:
    import hydra
    from omegaconf import DictConfig

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(cfg: DictConfig) -> float | None:
        from gsd.cli.hydra import of_job
        from gsd.runner import run

        return run.job(of_job(cfg))

    return job


if __name__ == "__main__":
    main()
