"""What a run folder of somebody else's cannot do: run code, read the environment, write elsewhere."""

import pickle
import shutil
import sys
import zipfile

import pytest
import torch
import yaml
from launch import SMALL, launch

from gsd.cli.folders import VARIABLE
from gsd.errors import GsdError
from gsd.results.scene import load
from gsd.results.trust import configuration
from gsd.tools import evaluate, noising_check
from gsd.tools.export.__main__ import main as export
from gsd.tools.report.__main__ import main as report
from gsd.tools.run_sights import sights
from gsd.tools.view.followed import Followed

CPU = torch.device("cpu")
EVIL = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass Evil:\n    pass\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *SMALL, "steps=2", "metric=[reprojection]")


@pytest.fixture
def foreign(made, tmp_path, monkeypatch):
    """A copy with a module beside it, as if somebody had sent both and the user stood there."""
    folder = shutil.copytree(made, tmp_path / "sent" / "run")
    (folder.parent / "evil.py").write_text(EVIL)
    monkeypatch.chdir(folder.parent)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("A_SECRET", "tr0ub4dor")
    yield folder
    assert "evil" not in sys.modules
    assert not (folder.parent / "ran").exists()


def change(folder, key, value):
    """Set a key of config.yaml, its parts separated by dots."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    *path, last = key.split(".")
    section = config
    for part in path:
        section = section[part]
    section[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


FORBIDDEN = {
    "code beside it": ("representation._target_", "evil.Evil"),
    "the standard library": ("metric.reprojection._target_", "subprocess.Popen"),
    "a function": ("noising._target_", "os.system"),
    "Hydra's own helpers": ("representation._target_", "hydra.utils.get_method"),
    "Hydra's internals": ("camera._target_", "hydra._internal.utils._locate"),
    "what gsd has for others": ("representation._target_", "gsd.results.folder.RunFolder"),
    "what gsd has imported": ("prior._target_", "gsd.init.point_e.Path"),
    "a function of gsd": ("init._target_", "gsd.init.point_e._opened"),
    "a class of another group": ("representation._target_", "gsd.logger.wandb.Wandb"),
    "a path with more than names": ("representation._target_", "gsd.representation.gaussians.Gaussians\nx"),
    "a relative one": ("representation._target_", "..representation.gaussians.Gaussians"),
    "no name": ("representation._target_", {"_target_": "evil.Evil"}),
    "deeper": ("sigma.t_min", {"kind": "linear", "start": {"_target_": "evil.Evil"}}),
    "in a list": ("turntable.more", [1, [{"_target_": "evil.Evil", "_args_": [1]}]]),
    "beside all groups": ("anything", {"_target_": "gsd.metric.truth.Truth"}),
    "half a call": ("representation._partial_", True),
    "arguments": ("noising._args_", [1]),
    "the environment": ("representation.background", "${oc.env:A_SECRET}"),
    "the environment within words": ("metric.reprojection.x", ["a ${oc.decode:${oc.env:A_SECRET}} b"]),
    "a file": ("init.x", "${oc.create:{a: 1}}"),
    "another key": ("seed", "${steps}"),
}


@pytest.mark.parametrize("how", FORBIDDEN)
def test_a_config_that_asks_for_more_is_refused_in_a_sentence(foreign, how):
    key, value = FORBIDDEN[how]
    change(foreign, key, value)
    with pytest.raises(GsdError, match=rf"config\.yaml( is damaged)?: {key}") as said:
        configuration(foreign)
    assert "tr0ub4dor" not in str(said.value)


PROGRAMS = {
    "load": lambda folder, call: load(folder, 0, CPU),
    "view": lambda folder, call: Followed(folder, 0, CPU),
    "export": lambda folder, call: call(export, folder, "--format", "ply"),
    "evaluate": lambda folder, call: call(evaluate.main, folder),
    "evaluate by another": lambda folder, call: call(evaluate.main, folder, "metric=a_lpips"),
    "noising-check": lambda folder, call: call(noising_check.main, "--run", folder, "--draws", 2),
    "steps again": lambda folder, call: next(sights(folder, [0])),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_that_builds_from_a_folder_asks(program, foreign, call):
    change(foreign, "noising._target_", "evil.Evil")
    before = {p.name for p in foreign.iterdir()}
    with pytest.raises((GsdError, SystemExit)) as stopped:
        PROGRAMS[program](foreign, call)
    assert "no run could be" in str(stopped.value) or "evil.Evil" in str(stopped.value)
    assert before == {p.name for p in foreign.iterdir()}


def test_a_report_builds_nothing(foreign, call):
    change(foreign, "representation._target_", "evil.Evil")
    change(foreign, "prompt", "${oc.env:A_SECRET}")
    call(report, foreign)
    assert "tr0ub4dor" not in (foreign / "report.html").read_text()


def test_a_prompt_may_have_such_letters(foreign):
    change(foreign, "prompt", "a sign ${oc.env:A_SECRET}")
    assert configuration(foreign).prompt == "a sign ${oc.env:A_SECRET}"


def test_classes_of_ones_own(foreign, tmp_path, monkeypatch):
    """In a folder that the user has named, or named by an option there; not what such a module has imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:  # of other tests
        monkeypatch.delitem(sys.modules, name)
    own = tmp_path / "own"
    (own / "loss").mkdir(parents=True)
    (own / "mine").mkdir()
    (own / "mine/__init__.py").write_text("from subprocess import Popen\n")
    (own / "mine/deep.py").write_text("class Deep:\n    pass\n")
    (own / "loss/far.yaml").write_text("# far\n_target_: elsewhere.Far\n")
    change(foreign, "noising._target_", "mine.deep.Deep")
    with pytest.raises(GsdError, match=r"--config-dir or GSD_CONF"):
        configuration(foreign)
    monkeypatch.setenv(VARIABLE, str(own))
    monkeypatch.setattr(sys, "path", [*sys.path, str(own)])
    for good in ("mine.deep.Deep", "elsewhere.Far"):
        change(foreign, "noising._target_", good)
        assert configuration(foreign).noising._target_ == good
    for bad in ("mine.Popen", "elsewhere.Other", "mine.deep.Deeper", "json.Deep"):
        change(foreign, "noising._target_", bad)
        with pytest.raises(GsdError, match="was not imported"):
            configuration(foreign)


class Call:
    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize("whole", [True, False], ids=["with its digest", "without"])
def test_pickled_code_in_a_checkpoint_is_not_run(foreign, whole):
    file = foreign / "checkpoint.pt"
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [each for each in content if each.endswith("data.pkl")]
    with zipfile.ZipFile(file, "w") as archive:
        for each, data in content.items():
            archive.writestr(each, pickle.dumps({"step": Call()}) if each == name else data)
    if not whole:
        (foreign / "checkpoint.digest").unlink()
    with pytest.raises(GsdError, match=r"checkpoint\.pt is damaged"):
        load(foreign, 0, CPU)


def test_places_that_a_config_names_are_not_written_to(foreign, tmp_path):
    """Point-E's weights would be downloaded to theirs."""
    pytest.importorskip("point_e")
    away = tmp_path / "away"
    target = {"_target_": "gsd.init.point_e.PointE", "weights": str(away), "clip": str(away)}
    for where in (str(away), "../../away"):
        change(foreign, "init", target | {"weights": where})
        with pytest.raises(GsdError, match=r"init\.weights=.* is missing"):
            next(sights(foreign, [0]))
    assert not away.exists()


def test_what_a_scene_does_not_need_may_be_elsewhere(foreign, call):
    change(foreign, "prior", {"_target_": "gsd.prior.stable_diffusion.StableDiffusion", "model": "/nowhere/../x"})
    call(export, foreign, "--format", "ply")
    assert (foreign / "scene.ply").exists()
