"""Stages: the runs that come before a run, each in a folder of its own, all continued by the same command."""

import json
import os
import shutil
import time

import pytest
import torch
from launch import SMALL, config, crash, launch, same, shell, start

from gsd.cli.stages import planned
from gsd.errors import GsdError
from gsd.identity import identity
from gsd.results.folder import RunFolder
from gsd.results.runs import Run, find_runs
from gsd.results.scene import load
from gsd.results.sweep_folder import SweepFolder
from gsd.runner.result import rows
from gsd.settings import check_settings
from gsd.tools.sweep.trust import harmless

PLAIN = (*(o for o in SMALL if not o.startswith("init.")), "metric=none", "loss=none", "noising=random", "steps=6")
FIELD = '"representation=instant_ngp","representation.levels=3","representation.log2_table=9"'
COARSE = f'coarse: ["init=shell",{FIELD},"steps=8"]'
SHARP = f'sharp: [{FIELD},"init.path=stage:coarse","steps=6","camera.resolution=24"]'
LAST = ("init=run", "init.path=stage:sharp", "init.points=150")
STAGED = (*PLAIN, *LAST, f"stages={{{COARSE},{SHARP}}}")
ALL = ("", "stages/coarse", "stages/sharp")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "done", *STAGED)


def alike(one, other):
    for each in ALL:
        same(one / each, other / each)


def test_each_stage_is_a_run_and_the_next_starts_from_it(done, tmp_path, capsys):
    assert [Run(done / each).status for each in ALL] == ["done"] * 3
    assert [len(Run(done / each).records()) for each in ALL] == [6, 8, 6]
    scene, step = load(done / "stages/sharp", 0, torch.device("cpu"))
    assert (type(scene).__name__, step) == ("InstantNGP", 6)
    assert [run.path for run in find_runs([done / "stages"])] == [done / "stages/coarse", done / "stages/sharp"]
    assert [run.path for run in find_runs([done.parent])] == [done]  # a run with stages is one run
    assert rows(Run(done).summary, done)[-2:] == [
        ("stage coarse", str(done / "stages/coarse")),
        ("stage sharp", str(done / "stages/sharp")),
    ]
    by_hand = launch(tmp_path / "last", *PLAIN, *LAST, f"init.path={done / 'stages/sharp'}")
    same(by_hand, done)
    launch(done, *STAGED)
    assert "Already done" in capsys.readouterr().out


@pytest.mark.parametrize("at", [5, pytest.param(7, marks=pytest.mark.slow)])
def test_stopped_in_any_stage_and_continued_equals_straight(at, done, tmp_path, monkeypatch):
    """Step 7 is one of the first stage alone; step 5 comes three times."""
    stops = 0
    while not (tmp_path / "run/DONE").exists():
        back = crash(monkeypatch, at, lambda: stopped(tmp_path / "run", at))
        try:
            launch(tmp_path / "run", *STAGED)
        except RuntimeError:
            stops += 1
            assert Run(tmp_path / "run").status == "failed"
        back()
    assert stops == {5: 3, 7: 1}[at]
    alike(tmp_path / "run", done)


def stopped(folder, at):
    """At the first time in each stage."""
    (running,) = [path for path in map(folder.__truediv__, ALL) if RunFolder(path).holder and not inside(path)]
    if not (mark := running / f"stopped{at}").exists():
        mark.touch()
        raise RuntimeError("pulled the plug")


def inside(path):
    """Whether a stage in this folder runs, for which it waits."""
    return any(RunFolder(stage).holder for stage in path.glob("stages/*"))


MOMENTS = [f"{folder}{name}" for folder in ("stages/coarse/", "stages/sharp/", "") for name in ("*.pt", "*.png")]


@pytest.mark.parametrize("moments", [MOMENTS[3:4], pytest.param(MOMENTS, marks=pytest.mark.slow)], ids=len)
def test_killed_and_continued_equals_undisturbed(moments, tmp_path):
    """kill -9 at the first sight of a file: a checkpoint, and the pictures after the last step."""
    arguments, kills = (*STAGED, "name=killed"), 0
    for moment in moments:
        process = start(tmp_path, *arguments)
        while process.poll() is None and not list(tmp_path.glob(f"outputs/killed/*/{moment}")):
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills
    assert shell(tmp_path, *arguments)[0] == 0
    assert shell(tmp_path, *STAGED, "name=straight")[0] == 0
    (killed,), (straight,) = tmp_path.glob("outputs/killed/*"), tmp_path.glob("outputs/straight/*")
    assert killed.name == straight.name
    alike(killed, straight)
    ours, theirs = (json.loads((path / "stages/sharp/identity.json").read_text()) for path in (killed, straight))
    assert ours["signature"] == theirs["signature"]  # the scene that they start from counts, not its clock
    assert ours["files"]["init.path"] == theirs["files"]["init.path"] != {}


def test_a_sweep_goes_through_the_stages_of_each_run(tmp_path):
    code, out, err = shell(tmp_path, "-m", *STAGED, "seed=1,2", "name=swept")
    assert code == 0, out + err
    sweep = tmp_path / "multirun/swept"
    assert [row.state for row in SweepFolder(sweep).rows()] == ["done", "done"]
    seeds = [Run(path).config["seed"] for path in sorted(sweep.glob("*/stages/coarse"))]
    assert sorted(seeds) == [1, 2]
    assert "2 done; 0 to do" in shell(tmp_path, "-m", *STAGED, "seed=1,2", "name=swept")[1]


def test_what_was_typed_counts_in_stages_that_say_nothing_else():
    typed = ("prompt=an owl", "seed=3", "representation.sh_degree=1", "representation.backend=cpu", "prior.view_bias=4")
    cfg = config(*STAGED, *typed, "guidance=csd", "camera.groups=2", "objective=count", hydra=True)
    cfg.seed = 4  # as from Python
    stages = planned(cfg)
    assert [*stages] == ["coarse", "sharp"]
    for stage in stages.values():
        assert (stage.prompt, stage.seed, stage.prior.view_bias, stage.camera.groups) == ("an owl", 4, 4, 2)
        assert stage.guidance._target_.endswith("CSD")
        assert "sh_degree" not in stage.representation  # which is of Gaussians
        assert (stage.stages, stage.objective) == (None, None)
    assert [stage.steps for stage in stages.values()] == [8, 6]
    assert [stage.camera.resolution for stage in stages.values()] == [16, 24]
    assert "path" not in stages["coarse"].init


def of(*stages, last=LAST):
    return (*PLAIN, *last, f"stages={{{','.join(stages)}}}")


AS_TYPED = {  # refused with the settings, before a folder has a name
    "empty": ((*PLAIN, "stages={}"), r"stages=\{\} should be NAME: \[OVERRIDE"),
    "a list": ((*PLAIN, "stages=[coarse]"), r"stages=\['coarse'\] should be NAME"),
    "numbers": ((*PLAIN, "stages=[1,2]"), r"stages=\[1, 2\] should be NAME"),
    "a number": ((*PLAIN, "stages={a: 3}"), r"stages.a=3 should be a list"),
    "empty list": (of("coarse: []"), r"stages.coarse=\[\] should be a list of at least one"),
    "a text": (of("coarse: steps"), "stages.coarse='steps' should be a list"),
    "no override": (of('coarse: ["steps"]'), "'steps' is no override; write KEY=VALUE"),
    "a name": (of('a/b: ["steps=1"]'), "'a/b' is no name of a stage"),
    "hydra": (of('coarse: ["hydra.run.dir=x"]'), "belongs to the whole run"),
    "nested": (of('coarse: ["stages.x=1"]'), "belongs to the whole run"),
    "looked up": (of('coarse: ["steps=\\${seed}"]'), "put it into a preset of its own"),
    "itself": (of('coarse: ["init=run","init.path=stage:coarse"]'), "stages.coarse starts from itself"),
    "later": (of('coarse: ["init.path=stage:sharp"]', SHARP), "starts from stage sharp, which comes later"),
    "unknown": (of('coarse: ["init.path=stage:corse"]'), "stage corse, which does not exist; there are coarse"),
    "the run's": (of(COARSE, last=("init=run", "init.path=stage:x")), "The run starts from stage x, which does not"),
}


@pytest.mark.parametrize("case", AS_TYPED)
def test_lists_that_cannot_be_meant_are_refused_with_the_settings(case):
    overrides, sentence = AS_TYPED[case]
    with pytest.raises(GsdError, match=sentence):
        check_settings(config(*overrides, hydra=True))


def second(*more):
    """Stages of which the later one has these overrides too."""
    typed = "".join(f',"{each}"' for each in more)
    return of(COARSE, SHARP.removesuffix("]") + typed + "]")


COMPOSED = {  # refused before the first stage begins
    "unknown key": (of('coarse: ["step=3"]', SHARP), r"stages.coarse: .*'step' does not exist"),
    "unknown option": (of(COARSE, 'sharp: ["init.path=stage:coarse","guidance=sd"]'), "stages.sharp: guidance=sd does"),
    "a value": (of(COARSE.replace("steps=8", "steps=-8"), SHARP), r"stages.coarse: steps=-8: "),
    "no start": (of(COARSE, SHARP.replace('"init.path=stage:coarse",', "")), "stages.sharp: init.path has no value"),
    "unused": (of(COARSE, last=("init=shell",)), "Nothing starts from stage coarse"),
    "a pair": (
        of(COARSE.replace('"steps=8"', '"guidance=ism","noising=nearest"'), SHARP),
        "stages.coarse: guidance ISM",
    ),
    "sizes": (of(COARSE, SHARP.replace("levels=3", "levels=4")), "stages.sharp: .* set representation.levels=3"),
    "a field from Gaussians": (of('coarse: ["init=shell"]', SHARP), "stages.sharp: .* does not start at points"),
    "a file": (of(COARSE.replace("init=shell", 'init=run","init.path=/not/there'), SHARP), "stages.coarse: .* no such"),
    "the last": ((*of(COARSE, SHARP), "sigma.t_min=7"), "sigma.t_min=7"),
    "a model": (second("prior=sdxl", "prior.model=/nowhere"), "stages.sharp: prior.model=/nowhere: no such folder"),
    "a LoRA": (second("prior=sdxl", "prior.lora=[/nowhere.safetensors]"), "stages.sharp: prior.lora=.* no such file"),
    "a code": (
        second("prior=tiny", "+prior.semantic_code.file=/nowhere"),
        "stages.sharp: prior.semantic_code.file=/no",
    ),
    "a controlnet": (
        second("prior=threefuse", "prior.model=tiny", "prior.controlnet=/nowhere"),
        "stages.sharp: prior.controlnet=/nowhere: no such folder",
    ),
    "a formula": (second("guidance=vsd"), "stages.sharp: guidance=vsd .* prior Menagerie is a formula"),
    "a subject": (second("prompt='a sofa'"), "stages.sharp: .*a sofa"),
    "views": (second("prior=mvdream"), "stages.sharp: prior MVDream sees 4 views"),
    "its cameras": (
        second("prior=mvdream", "camera.views=4", "camera.delta_deg=90", "guidance=vsd"),
        "stages.sharp: guidance.camera=true: prior MVDream knows the cameras",
    ),
    "a metric": (second("metric=image_reward"), "stages.sharp: metric.image_reward.weights=null is no"),
    "a particle": (second("init.particle=1"), "stages.sharp: init.particle=1: stage coarse has one scene, number 0"),
    "the last particle": (
        (*second("init.particle=0"), "init.particle=2"),
        "^init.particle=2: stage sharp has one scene",
    ),
}


@pytest.mark.parametrize("case", COMPOSED)
def test_stages_that_cannot_run_are_refused_before_the_first_begins(case, tmp_path, monkeypatch):
    overrides, sentence = COMPOSED[case]
    monkeypatch.setattr("gsd.loop.take_step", None)
    with pytest.raises(GsdError, match=sentence):
        launch(tmp_path / "run", *overrides)
    assert not (tmp_path / "run/stages").exists()


def test_a_stage_that_fails_fails_the_run(tmp_path, monkeypatch):
    real, begun = torch.Tensor.backward, []

    def backward(self, *rest):
        begun.append(1)
        if len(begun) > 9:
            raise GsdError("It is enough.")
        return real(self, *rest)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    with pytest.raises(GsdError, match=r"Stage sharp: It is enough."):
        launch(tmp_path / "run", *STAGED)
    assert Run(tmp_path / "run").reason == "Stage sharp: It is enough."
    assert Run(tmp_path / "run/stages/sharp").reason == "It is enough."
    assert Run(tmp_path / "run/stages/coarse").status == "done"


def test_stages_count_in_the_signature_and_in_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = identity(config(*STAGED)).signature
    assert identity(config(*of(COARSE.replace("steps=8", "steps=9"), SHARP))).signature != base
    given = of(COARSE.replace("init=shell", 'init=point_cloud","init.path=cloud.npz'), SHARP)
    names = set()
    for content in ("one", "two"):
        (tmp_path / "cloud.npz").write_text(content)
        names.add(identity(config(*given)).signature)
    assert len(names) == 2  # by the content of a file that a stage reads
    assert identity(config("stages=null")).signature == identity(config()).signature


def test_another_runs_stage_is_not_believed(done, tmp_path):
    folder = shutil.copytree(done, tmp_path / "run")
    for name in ("DONE", "checkpoint.pt", "identity.json"):
        (folder / name).unlink()
    with pytest.raises(GsdError, match=r"Stage coarse: .* holds another run, which differs in seed: 0 -> 1"):
        launch(folder, *STAGED, "seed=1")


def test_nothing_is_written_through_a_stage_that_leads_out(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "run/stages").mkdir(parents=True)
    os.symlink(tmp_path / "outside", tmp_path / "run/stages/coarse")
    with pytest.raises(GsdError, match="is a link that leads out of the run folder"):
        launch(tmp_path / "run", *STAGED)
    assert not list((tmp_path / "outside").iterdir())


def test_a_foreign_sweep_cannot_bring_stages():
    assert harmless("steps=3")
    assert not harmless('stages={a: ["prior=../../x"]}')
