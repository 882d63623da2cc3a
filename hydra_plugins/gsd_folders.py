"""Hydra looks for plugins in this namespace only."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from gsd.cli.folders import own_folders


class OwnFolders(SearchPathPlugin):
    """Options are also looked for in the folders of GSD_CONF."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in own_folders():
            search_path.append("gsd", str(folder))
