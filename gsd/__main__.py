"""The command `gsd`: a run or a sweep through Hydra, or a program on run folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

from gsd.cli.errors import guarded, namesake
from gsd.cli.folders import CONF, adopt
from gsd.cli.streams import endure, understand
from gsd.errors import GsdError, did_you_mean

COMMANDS = {  # name -> module with a main()
    "convert": "gsd.tools.convert",
    "convert-3dfuse": "gsd.tools.convert_threefuse",
    "dashboard": "gsd.tools.dashboard.__main__",
    "evaluate": "gsd.tools.evaluate",
    "export": "gsd.tools.export.__main__",
    "gpu-check": "gsd.tools.gpu_check.__main__",
    "init": "gsd.tools.init",
    "noising-check": "gsd.tools.noising_check",
    "report": "gsd.tools.report.__main__",
    "semantic-code": "gsd.tools.semantic_code",
    "study": "gsd.tools.study.__main__",
    "sweep": "gsd.tools.sweep.__main__",
    "view": "gsd.tools.view.__main__",
    "view-words": "gsd.tools.view_words",
}
COMPLETION = {"-sc", "--shell-completion"}


def main() -> None:
    """`gsd COMMAND ...`, else a job of Hydra: `gsd KEY=VALUE ...`."""
    try:
        os.getcwd()
    except OSError:
        sys.exit("error: The present folder is not there any more; go to another one with cd.")
    understand()
    endure()
    # Idle OpenMP threads must sleep, not spin: several runs often share a machine. Read by torch when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threads = os.environ.get("NUMBA_NUM_THREADS", "1")
    if not (threads.isdecimal() and int(threads)):  # numba would raise when it is imported
        sys.exit(f"error: NUMBA_NUM_THREADS={threads} should be a whole number from 1 on; unset it to use all cores.")
    if sentence := namesake():
        print(f"warning: {sentence}", file=sys.stderr)
    try:
        arguments = adopt(sys.argv[1:])
    except GsdError as error:
        sys.exit(f"error: {error}")
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:  # a run itself stops at a checkpoint; this is while it starts
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _dispatch(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    if any(not each and before[:1] != "-" for before, each in pairwise(arguments)):
        sys.exit("error: An argument is empty; perhaps a variable of your shell has no value.")
    if name in COMMANDS:
        sys.argv[1:] = arguments[1:]
        import_module(COMMANDS[name]).main()
    elif "--version" in arguments:
        from gsd import __version__

        print(f"gsd-lab {__version__}")
    elif {"--help", "-h"} & set(arguments):
        from gsd.cli.help import help_text

        try:
            print(help_text(COMMANDS, arguments))
        except GsdError as error:  # `guarded` would import Hydra
            sys.exit(f"error: {error}")
    elif name and "=" not in name and name[0] not in "-~":
        sys.exit(f"error: There is no command {name!r}; choose {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
    else:
        _run(arguments)


def _run(arguments: list[str]) -> None:
    from gsd.cli.overrides import understood
    from gsd.config import register

    def run() -> None:
        sys.argv[1:] = arguments if COMPLETION & set(arguments) else understood(arguments)
        _hydra_main(default=not arguments)()

    register()
    guarded(run)


def _hydra_main(default: bool) -> Callable[[], Any]:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(cfg: DictConfig) -> float | None:
        from gsd.cli.hydra import of_job
        from gsd.runner import run

        try:
            made = of_job(cfg)
            if HydraConfig.get().job.chdir:
                os.chdir(HydraConfig.get().runtime.cwd)  # where the paths that were typed begin
            if default:
                where = made.hydra.runtime.output_dir
                print(f"Running the defaults, {cfg.prompt!r}, in {where}; gsd --help lists all else.", flush=True)
            return run.job(made)
        except GsdError as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            sys.exit(f"error: {error}")  # before Hydra repeats the command line

    return job


if __name__ == "__main__":
    main()
