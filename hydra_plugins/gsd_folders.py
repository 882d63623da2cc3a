"""Hydra looks for plugins in this namespace only."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from gsd.cli.folders import CONF, own_folders
from gsd.cli.source import SCHEME
from gsd.cli.source import Source as _Source


class Source(_Source):
    """Reads yaml files so that nothing in them is dropped."""


class OwnFolders(SearchPathPlugin):
    """Options are also looked for in the folders of GSD_CONF."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for element in search_path.get_path():
            if element.path in (str(CONF), f"file://{CONF}"):
                element.path = f"{SCHEME}://{CONF}"
        for folder in own_folders():
            search_path.append("gsd", f"{SCHEME}://{folder}")
