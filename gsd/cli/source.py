"""How Hydra reads a yaml of conf/ and of one's own folders: nothing that is written in it is dropped or changed.

- A preset is merged into the whole config, and says so in its first line; without that line Hydra would put it aside.
- Prompts and names are the text that is written: YAML would make `no` a boolean and 1e3 a number.
- A file that is no YAML is one sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from gsd.cli.overrides import NAMES, TEXTS
from gsd.errors import GsdError, reason

SCHEME = "gsd"
GLOBAL = "# @package _global_"
PRESETS = ("experiment/", "scale/")


class Source(FileConfigSource):
    """A folder of yaml files."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._normalize_file_name(config_path)
        file = Path(self.path, name)
        if not file.exists():
            raise ConfigLoadError(f"Config not found : {file}")
        try:
            text = file.read_text(encoding="utf-8-sig")  # without the mark that some editors put first
            header = self._get_header_dict(text)
            content = _parsed(text)
            config = OmegaConf.create(content if isinstance(content, dict) else {})
        except RecursionError as error:
            raise GsdError(f"{file} cannot be read: a value in it holds itself.") from error
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise GsdError(f"{file} cannot be read: {_told(error)}.") from error
        if name.startswith(PRESETS) and header["package"] != "_global_":
            raise GsdError(f"{file} is a preset and its first line is not {GLOBAL!r}; add it, or nothing in it counts.")
        if not isinstance(content, dict):
            raise GsdError(f"{file} should hold KEY: VALUE lines, and holds a {type(content).__name__}.")
        if "defaults" in content:
            _check_defaults(file, content["defaults"])
        return ConfigResult(provider=self.provider, path=f"{SCHEME}://{self.path}", config=config, header=header)


def _check_defaults(file: Path, listed: Any) -> None:
    """A list of texts and of GROUP: OPTION; Hydra's own checks are asserts. `override /noising: random` is a key."""
    for each in listed if isinstance(listed, list) else [None]:
        pairs = list(each.items()) if isinstance(each, dict) else [("", each)]
        names = [name for _, value in pairs for name in (value if isinstance(value, list) else [value])]
        chosen = isinstance(each, dict) and all(name is None or isinstance(name, str) for name in names)
        if len(pairs) != 1 or not (isinstance(each, str) or chosen):
            raise GsdError(
                f"{file}: its defaults should be a list of options, as in '- override /noising: random', and hold "
                f"{listed if each is None else each!r}."
            )


def _parsed(text: str) -> Any:
    """The content of a yaml, as OmegaConf has it, but with prompts and names as they are written."""
    loader: Any = get_yaml_loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        for path in (*TEXTS, *NAMES):
            _keep(node, path.split("."), null=path in NAMES)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _keep(node: yaml.Node, path: list[str], null: bool) -> None:
    """Make the plain scalar at a path a text; null: but for null."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == path[0] and path[1:]:
                _keep(value, path[1:], null)
            elif key.value == path[0] and isinstance(value, yaml.ScalarNode) and value.value:
                if null and value.tag == "tag:yaml.org,2002:null":
                    continue
                value.tag = "tag:yaml.org,2002:str"


def _told(error: Exception) -> str:
    """What is wrong with a yaml, and in which line."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8; save it so"
    if isinstance(error, ValueError):  # Python reads whole numbers of up to 4,300 digits
        return "a number in it has too many digits"
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{problem or reason(error)}{where}"
