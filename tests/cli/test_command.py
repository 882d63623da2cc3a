"""The command `gsd`: what it starts, what it says, and how soon."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzzing import outcome
from launch import ROOT, start

from gsd import __version__
from gsd.__main__ import COMMANDS, main
from gsd.cli.folders import files

HELP_S = 0.3


def test_help_lists_commands_groups_options_and_settings(gsd):
    code, out, _ = gsd("--help")
    assert code == 0
    for word in (*COMMANDS, "noising", "* consistent", "3D consistent noising", "prompt:", "--config-dir"):
        assert word in out
    assert gsd("seed=3", "-h")[1] == out


def test_help_of_an_option_shows_its_settings_with_their_comments(gsd):
    code, out, _ = gsd("--help", "noising=lattice", "loss=[consistency,opaque]")
    assert code == 0
    assert "cell: 0.75 " in out
    assert "# edge of a cell, pixels" in out
    assert [line for line in out.splitlines() if line[:1] not in ("", " ")] == [
        "noising=lattice",
        "loss=consistency",
        "loss=opaque",
    ]
    assert "did you mean lattice?" in gsd("--help", "noising=latice")[0]


def test_help_of_a_group_lists_its_options_alone(gsd):
    code, out, _ = gsd("--help", "noising")
    assert code == 0
    first, *options = out.splitlines()
    assert first == "noising"
    assert [line[3:].split(" ")[0] for line in options] == sorted(file.stem for file in files("noising"))
    assert [line.split()[1] for line in options if line.startswith(" * ")] == ["consistent"]
    assert " * consistency " in gsd("--help", "loss")[1]  # whose default is another one for some priors
    both = gsd("--help", "noising=consistent", "prior")[1]
    assert [line for line in both.splitlines() if line[:1] not in ("", " ")] == ["noising=consistent", "prior"]
    assert "\n * menagerie " in both
    assert gsd("--help", "noising=")[0].startswith("error: noising= does not exist; choose bilinear, consistent,")


@pytest.mark.parametrize("how", [["run.py"], ["-m", "gsd"]])
def test_help_answers_at_once(how):
    """In time of the processor, since others may share it; without torch or Hydra."""

    def used():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    times = []
    for _ in range(3):
        before = used()
        subprocess.run([sys.executable, *how, "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        times.append(used() - before)
    assert min(times) < HELP_S
    call = [sys.executable, "-X", "importtime", *how, "--help"]
    imported = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert "gsd.cli.help" in imported
    assert not {"torch", "hydra", "omegaconf"} & {line.rpartition("|")[2].strip() for line in imported.splitlines()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(gsd, name):
    code, out, _ = gsd(name, "--help")
    assert code == 0
    assert out.startswith(f"usage: gsd {name} ")


@pytest.mark.parametrize(
    ("word", "nearest"), [("reprot", "report"), ("noising_check", "noising-check"), ("statu", "study"), ("x9", None)]
)
def test_an_unknown_word_is_refused_with_the_nearest_command(gsd, tmp_path, word, nearest):
    code, out, _ = gsd(word)
    assert code.startswith(f"error: There is no command '{word}'; choose convert, convert-3dfuse, dashboard,")
    assert code.endswith(f"view-words; did you mean {nearest}?" if nearest else "view-words")
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_bare_gsd_says_what_it_starts_and_where(tmp_path):
    process = start(tmp_path)
    said = process.stdout.readline()
    assert said.startswith("Running the defaults, 'a full body of a cat with a hat', in ")
    assert said.endswith("; gsd --help lists all else.\n")
    folder = Path(said.split(" in ")[1].split(";")[0])
    assert folder.parent == tmp_path / "outputs/a_full_body_of_a_cat_with_a_hat"
    while not (folder / "config.yaml").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()


def test_flags_of_hydra(gsd):
    code, out, _ = gsd("noising=random", "--cfg", "job")
    assert code == 0
    assert "_target_: gsd.noising.random.Random" in out
    assert "hydra_bash_completion" in gsd("-sc", "install=bash")[1]
    assert "--multirun" in gsd("--hydra-help")[1]
    assert gsd("--version")[1] == f"gsd-lab {__version__}\n"


def test_completion_needs_no_torch(tmp_path):
    code = "import sys; from gsd.__main__ import main; sys.argv[1:] = ['-sc', 'query=bash']; main()"
    code += "; assert 'torch' not in sys.modules"
    env = {"COMP_LINE": "gsd noising=c", "COMP_POINT": "13", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["noising=consistent"]


@pytest.fixture
def alone(monkeypatch):
    """Without what an environment may have of the other project."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not list(Path(p).glob("gsd-*-info"))])


@pytest.mark.parametrize("command", [["--help"], ["sweep", "status", "nowhere"], ["x=1"], ["reprot"]])
def test_the_other_project_called_gsd_is_seen_by_every_command(alone, gsd, tmp_path, command):
    assert "pip uninstall" not in gsd(*command)[2]
    other, ours = (tmp_path / "site" / f"{name}.dist-info" for name in ("gsd-3.4.2", "gsd_lab-0.1.0"))
    for folder in (other, ours):
        folder.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: gsd\nVersion: 3.4.2\n")
    sys.path.append(str(tmp_path / "site"))
    (sentence,) = [line for line in gsd(*command)[2].splitlines() if line.startswith("warning: ")]
    assert "run pip uninstall gsd, then install gsd-lab again" in sentence


@pytest.mark.parametrize("threads", ["0", "-2", "many", "1.5", ""])
def test_a_number_of_threads_that_numba_cannot_have_is_a_sentence(monkeypatch, capsys, threads):
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    code, _ = outcome(main, "--version")
    assert str(code).startswith(f"error: NUMBA_NUM_THREADS={threads} should be a whole number from 1 on")


def test_a_present_folder_that_is_gone_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _ = outcome(main, "seed=1")
    assert code == "error: The present folder is not there any more; go to another one with cd."


def test_hydra_does_not_speak_for_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    code, printed = outcome(main, "seed=a")
    assert (code, "HYDRA_FULL_ERROR" in printed) == ("error: seed=a should be a whole number.", False)
