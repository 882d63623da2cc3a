"""A folder is believed or continued by the run that made it, and by no other, whatever its name is."""

import json
import shutil

import numpy as np
import pytest
from launch import SMALL, crash, launch, records, same, shell

from gsd.errors import GsdError
from gsd.results.folder import RunFolder

FEW = (*SMALL, "steps=8", "metric=none", "loss=none", "noising=random")
DIFFERENT = {
    "prompt=an owl": 'prompt: "a full body of a cat with a hat" -> "an owl"',
    "steps=12": "steps: 8 -> 12",
    "sigma.t_min=0.05": "sigma.t_min",
    "guidance=csd": 'guidance._target_: "gsd.guidance.sds.SDS" -> "gsd.guidance.csd.CSD"',
    "loss=[opaque]": 'loss.opaque._target_: none -> "gsd.loss.opaque.Opaque"',
    "init.points=160": "init.points: 150 -> 160",
}
HARMLESS = ("name=x", "threads=2", "checkpoint_every=3", "images_every=4", "logger=[tensorboard]", "profile=true")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "done", *FEW)


def state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(folder, *overrides):
    before = state(folder)
    with pytest.raises(GsdError, match="holds another run") as said:
        launch(folder, *overrides)
    assert {k: v for k, v in state(folder).items() if k != ".lock"} == {k: v for k, v in before.items() if k != ".lock"}
    return str(said.value)


@pytest.mark.parametrize("override", DIFFERENT)
def test_a_finished_folder_of_another_run_is_not_believed(done, override):
    assert DIFFERENT[override] in refused(done, *FEW, override)


@pytest.mark.parametrize("override", ["prompt=an owl", "seed=4"])
def test_a_checkpoint_of_another_run_is_not_continued(done, override, tmp_path):
    folder = shutil.copytree(done, tmp_path / "folder")
    (folder / "DONE").unlink()
    refused(folder, *FEW, override)
    same(launch(folder, *FEW), done)


def test_what_cannot_change_a_result_is_no_other_run(done, capsys):
    launch(done, *FEW, *HARMLESS, "init.radius=0.50")
    assert "Already done" in capsys.readouterr().out


def test_an_attempt_that_came_to_nothing_binds_nobody(tmp_path, monkeypatch):
    back = crash(monkeypatch, 2)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *FEW, "seed=9", "images_every=1")
    back()
    assert (tmp_path / "run/strips").exists()
    launch(tmp_path / "run", *FEW)
    assert not (tmp_path / "run/strips").exists()  # they were the other's
    assert [r["step"] for r in records(tmp_path / "run")] == list(range(8))


def test_other_turntables_and_metrics_are_measured_anew(done, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "folder")
    more = ("metric=[reprojection]", "turntable.resolution=24")
    launch(folder, *FEW, *more)
    assert "is measured anew" in capsys.readouterr().out
    assert (folder / "scene.ply").read_bytes() == (done / "scene.ply").read_bytes()
    assert "photometric_error" in json.loads((folder / "summary.json").read_text())
    launch(folder, *FEW, *more)
    assert "Already done" in capsys.readouterr().out
    (folder / "evaluations.jsonl").touch()  # with the metrics of before
    refused(folder, *FEW)


def cloud(file, seed):
    np.savez(file, xyz=np.random.default_rng(seed).normal(size=(50, 3)))


def test_a_file_that_was_replaced_is_another_run(tmp_path, capsys):
    file, folder = tmp_path / "points.npz", tmp_path / "run"
    given = (*(o for o in FEW if "init" not in o), "init=point_cloud", f"init.path={file}")
    cloud(file, 0)
    launch(folder, *given)
    content = file.read_bytes()
    cloud(file, 1)
    assert f'init.path: the content of "{file}" has changed' in refused(folder, *given)
    file.write_bytes(content)  # again as it was, with another date
    launch(folder, *given)
    assert "Already done" in capsys.readouterr().out


def test_folders_of_before_are_compared_by_their_config(done, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "folder")
    (folder / "identity.json").unlink()
    launch(folder, *FEW, "init.radius=0.5e0")
    assert "Already done" in capsys.readouterr().out
    assert "seed: 0 -> 1" in refused(folder, *FEW, "seed=1")
    (folder / "identity.json").write_text("[]")
    with pytest.raises(GsdError, match=r"identity.json .* Delete it, and config.yaml"):
        launch(folder, *FEW)
    for name in ("identity.json", "config.yaml"):
        (folder / name).unlink()
    refused(folder, *FEW)


def test_runs_of_a_sweep_whose_folders_are_numbered(tmp_path):
    numbered = ["-m", *SMALL, "steps=1", "metric=none", "name=s", "hydra.sweep.subdir=run_${hydra.job.num}"]
    assert shell(tmp_path, *numbered, "guidance.guidance_scale=5,6")[0] == 0
    kept = state(tmp_path / "multirun/s/run_1")
    code, out, err = shell(tmp_path, *numbered, "guidance.guidance_scale=5,8")
    assert (code, "to do" in out) == (1, False)
    assert "run_1 holds another run, which differs in guidance.guidance_scale: 6 -> 8" in err
    assert state(tmp_path / "multirun/s/run_1") == kept
    (tmp_path / "multirun/s/run_1/DONE").unlink()
    code, out, err = shell(tmp_path, *numbered, "guidance.guidance_scale=5.0,6.0")
    assert (code, "1 done, 1 pending; 1 to do" in out) == (0, True), err  # the only one to do, and yet number 1
    assert (tmp_path / "multirun/s/run_1/DONE").exists()
    code, _, err = shell(tmp_path, "-m", *SMALL, "steps=1", "name=t", "hydra.sweep.subdir=same", "seed=3,4")
    assert code == 1
    assert "Two runs of this sweep go into one folder, same, and differ in seed: 3 -> 4" in err


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that has crashed after its checkpoint at step 4."""
    back = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *FEW, "images_every=2")
    back()
    return tmp_path / "run"


LOST = {
    "emptied": lambda b: b"",
    "cut": lambda b: b[: len(b) // 3],
    "a line less": lambda b: b"\n".join(b.split(b"\n")[1:]),
    "zeros": lambda b: bytes(len(b)),
}


@pytest.mark.parametrize("name", ["metrics.jsonl", "histograms.jsonl"])
def test_lines_that_a_checkpoint_knows_and_that_are_gone(stopped, name, tmp_path, done):
    whole = (stopped / name).read_bytes()
    for damage in LOST.values():
        (stopped / name).write_bytes(damage(whole))
        with pytest.raises(GsdError, match=rf"{name} (has lost|is not as it was).* delete checkpoint.pt to start"):
            launch(stopped, *FEW)
    (stopped / name).unlink()
    with pytest.raises(GsdError, match=rf"{name} has lost lines"):
        launch(stopped, *FEW)
    (stopped / name).write_bytes(whole + b'{"step": 4, "half')
    same(launch(stopped, *FEW), done)


def test_a_flipped_bit_in_a_checkpoint_is_found(stopped, done):
    file = stopped / "checkpoint.pt"
    whole = file.read_bytes()
    for at in (0.1, 0.5, 0.99):
        content = bytearray(whole)
        content[int(at * len(content))] ^= 1
        file.write_bytes(content)
        with pytest.raises(GsdError, match=r"checkpoint.pt is damaged .* delete it to start this run anew"):
            launch(stopped, *FEW)
    file.unlink()
    same(launch(stopped, *FEW), done)


def test_a_kill_between_a_checkpoint_and_its_digest_is_no_damage(stopped, done):
    """Each of the two files may be the older one, however often that happens."""
    folder, old = RunFolder(stopped), (stopped / "checkpoint.pt").read_bytes()
    for _ in range(3):
        folder.save_checkpoint(folder.read_checkpoint())
        (stopped / "checkpoint.pt").write_bytes(old)
        assert folder.read_checkpoint()["step"] == 4
    same(launch(stopped, *FEW), done)


def test_what_killed_writers_leave_is_swept(stopped):
    pid = 2**22 + 5  # more than Linux gives
    left = [f".{pid}.checkpoint.pt", f".{pid}.summary.json", f"strips/.{pid}.000002.png", f"views/.{pid}.001_rgb.png"]
    for name in left:
        (stopped / name).parent.mkdir(exist_ok=True)
        (stopped / name).write_bytes(b"half")
    (stopped / ".2024.notes.txt").write_text("the user's")
    (stopped / ".1.alive.png").write_bytes(b"of a process that lives")
    launch(stopped, *FEW)
    assert not [name for name in left if (stopped / name).exists()]
    assert (stopped / ".2024.notes.txt").exists()
    assert (stopped / ".1.alive.png").exists()


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "strips", "run.log"])
def test_nothing_is_written_through_a_link_that_leads_out(stopped, name, tmp_path):
    outside = tmp_path / "outside"
    if name == "run.log":  # which a short run may not have begun
        (stopped / name).touch()
    (stopped / name).rename(outside)
    (stopped / name).symlink_to(outside)
    before = [p.name for p in outside.iterdir()] if outside.is_dir() else outside.read_bytes()
    with pytest.raises(GsdError, match=rf"{name} is a link that leads out of the run folder"):
        launch(stopped, *FEW, "images_every=1")
    assert before == ([p.name for p in outside.iterdir()] if outside.is_dir() else outside.read_bytes())


@pytest.mark.parametrize("name", ["scene.ply", "config.yaml", "views/mine.png", "summary.json"])
def test_files_that_are_no_runs_are_not_written_over(tmp_path, name):
    """A present folder, hydra.run.dir=., perhaps, or one that was mistyped."""
    mine = tmp_path / "folder" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("seed: 3\n")
    with pytest.raises(GsdError, match=f"is no run folder, and its {name.partition('/')[0]} would be written over"):
        launch(tmp_path / "folder", *FEW)
    assert mine.read_text() == "seed: 3\n"
    assert [path for path in (tmp_path / "folder").rglob("*") if path.is_file()] == [mine]
    mine.unlink()
    (tmp_path / "folder" / "notes.txt").write_text("keep")  # what a run does not write is in nobody's way
    if mine.parent != tmp_path / "folder":
        mine.parent.rmdir()
    launch(tmp_path / "folder", *FEW)
    assert (tmp_path / "folder" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("wrong", ["device=tpu", "device=cpu:3"])
def test_a_mistake_in_measuring_anew_leaves_what_is_done(done, tmp_path, wrong):
    folder = shutil.copytree(done, tmp_path / "folder")
    before = state(folder)
    with pytest.raises(GsdError):
        launch(folder, *FEW, "turntable.views=4", wrong)
    assert {k: v for k, v in state(folder).items() if k != ".lock"} == {k: v for k, v in before.items() if k != ".lock"}
