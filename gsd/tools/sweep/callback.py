"""What Hydra calls at the end of a sweep, with whatever sweeper and launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from gsd.cli.folders import own_folders, use


class Close(Callback):
    """Summary, report and the last lines. The exit code is 1 unless all runs are done."""

    def on_multirun_end(self, config: DictConfig, **context: Any) -> None:
        from gsd.tools.sweep.close import close

        code = close(config.hydra.sweep.dir)
        if code:
            raise SystemExit(code)

    def __reduce__(self) -> tuple[Any, ...]:
        """Launchers send their workers the callbacks, which are the first of our code that arrives there."""
        return _arrive, (own_folders(),)


def _arrive(folders: list[Path]) -> Close:
    from gsd.config import register

    register()
    use(folders)
    return Close()
