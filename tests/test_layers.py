"""The house's rules, read off the imports: who may import whom, and no circles, of files or of folders."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from launch import ROOT

VOCABULARY = {
    "types",
    "protocols",
    "watching",
    "geometry",
    "random",
    "ranges",
    "schedule",
    "noise_levels",
    "sampling",
    "errors",
}
CORE = {"validation", "settings", "config", "identity", "check", "memory", "experiment", "particles", "shares", "loop"}
ENGINES = {"statistics", "warping", "rasterizer", "field", "meshing", "menagerie", "browser"}
OPTIONS = {
    *("camera", "sigma", "prompting", "init", "representation", "densify"),
    *("prior", "guidance", "noising", "loss", "metric", "logger", "viewer"),
}
BELOW = VOCABULARY | {"backend"} | ENGINES
MAY_IMPORT = (
    dict.fromkeys(VOCABULARY, VOCABULARY)
    | {"backend": VOCABULARY}
    | dict.fromkeys(ENGINES, BELOW)
    | dict.fromkeys(OPTIONS, BELOW)  # and never each other
    | dict.fromkeys(CORE, VOCABULARY | {"backend"} | CORE)
    | {
        "cli": VOCABULARY | CORE,
        "results": BELOW | CORE | {"cli"},  # cli: the user's own folders of options
        "runner": BELOW | CORE | {"cli", "results"},
        "tools": BELOW | CORE | {"cli", "results", "noising"},  # noising: the bench of gsd noising-check
    }
)
# Programs around one group: gsd convert, gsd init, gsd view-words
EXTRA = {("tools", "prior"), ("tools", "init"), ("tools", "guidance")} | {("init", "results")}  # init=run
TOP = {"__main__", "__init__"}  # the command, and the names that `import gsd` offers


@cache
def imports() -> dict[str, set[str]]:
    """module -> the modules of gsd that it imports, anywhere in it, less those for type checkers alone."""
    names = {_name(path): path for path in sorted((ROOT / "gsd").rglob("*.py"))}
    found = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        typing_only = {
            id(each)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for each in ast.walk(node)
        }
        found[name] = set()
        for node in ast.walk(tree):
            if id(node) in typing_only:
                continue
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [each if each in names else node.module for each in inner]
            else:
                continue
            found[name] |= {target for target in targets if target in names and target != name}
    return found


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def circle(edges: dict[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_everybody_imports_only_from_below():
    wrong = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if (here := room(module)) not in TOP
        and (there := room(target)) not in {here, "__init__"}
        and there not in MAY_IMPORT[here]
        and (here, there) not in EXTRA
    ]
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other_in_a_circle():
    assert circle(imports()) is None


@pytest.mark.parametrize("depth", [2, 3])
def test_no_folders_import_each_other_in_a_circle(depth):
    """gsd.results and gsd.tools; gsd.noising.points and gsd.noising.warped. A folder's own files count as one."""
    edges: dict[str, set[str]] = {}
    for module, targets in imports().items():
        here = _folder(module, depth)
        edges.setdefault(here, set()).update({_folder(target, depth) for target in targets} - {here, "gsd"})
    edges.pop("gsd", None)  # its names come from everywhere
    assert circle(edges) is None


def _folder(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:depth])


def test_the_ground_floor_holds_a_dozen_modules():
    assert {path.stem for path in (ROOT / "gsd").glob("*.py")} == VOCABULARY | CORE | TOP


def test_a_rule_that_is_broken_is_seen():
    assert circle({"a": {"b"}, "b": {"a"}}) is not None
    assert circle({"a": {"b"}, "b": set()}) is None
    assert imports()["gsd.loop"] >= {"gsd.experiment", "gsd.geometry"}
