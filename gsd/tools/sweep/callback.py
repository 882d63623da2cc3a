"""What Hydra calls at the start and the end of a sweep, with whatever sweeper and launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from gsd.cli.folders import own_folders, use
from gsd.cli.streams import endure


class Around(Callback):
    """Before: the folder. After: summary, report and the last lines; the exit code is 1 unless all runs are done."""

    def on_multirun_start(self, config: DictConfig, **context: Any) -> None:
        from gsd.tools.sweep.sweeper import into

        # Every run's config is composed anew, perhaps on another machine and without what is swept: the folder, which
        # follows from both, is settled here
        path = Path(config.hydra.sweep.dir).absolute()
        with open_dict(config):
            config.hydra.sweep.dir = str(path)
            config.hydra.overrides.hydra.append(into(path))

    def on_multirun_end(self, config: DictConfig, **context: Any) -> None:
        from gsd.tools.sweep.close import close

        code = close(config.hydra.sweep.dir)
        if code:
            raise SystemExit(code)

    def __reduce__(self) -> tuple[Any, ...]:
        """Launchers send their workers the callbacks, which are the first of our code that arrives there."""
        return _arrive, (own_folders(),)


def _arrive(folders: list[Path]) -> Around:
    from gsd.config import register

    endure()
    register()
    use(folders)
    return Around()
