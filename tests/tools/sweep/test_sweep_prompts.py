"""Sweeps over files of prompts: which runs they make, how folders are called, and what is refused."""

import itertools
import json

import pytest
from forked import take_over
from hydra.core.override_parser.overrides_parser import OverridesParser
from launch import SMALL, shell

from gsd.cli.hydra import compose
from gsd.config import register
from gsd.errors import GsdError
from gsd.results.runs import Run, find_runs
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep.control import retry
from gsd.tools.sweep.prompts import T3BENCH, prompt_sets, swept
from gsd.tools.sweep.rehearsal import rehearse
from gsd.tools.sweep.trust import harmless

ODD = ["a corgi, asleep", 'a "red" snail', "a=b, an owl", "сова в шляпе", "$HOME ${5} \\ cat's", "1e3", "null", "[a]"]
TEXT = "\ufeff# T3Bench and others\r\n\n  " + "\r\n\t\n".join(ODD) + "  \r\n#last\nnull\n"
BANK = ("prior.variants=1", "prior.azimuths=12", "prior.elevations=[15]")
QUICK = (*SMALL, *BANK, "steps=1", "metric=none", "loss=none", "noising=random")  # for prompts of known animals


@pytest.fixture
def file(tmp_path, monkeypatch):
    register()
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd ones.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return path


def combinations(folder):
    return sorted((run.config["prompt"], run.config["seed"]) for run in find_runs([folder]))


def test_a_line_is_a_prompt_letter_by_letter(file):
    assert prompt_sets(str(file)) == prompt_sets(str(file.with_suffix(""))) == {"odd ones": [*ODD, "null"]}
    (override,) = swept({"prompts": "odd ones"}, [])
    values = OverridesParser.create().parse_override(override).sweep_string_iterator()
    assert [compose(f"prompt={value}").prompt for value in values] == ODD  # each once


def test_more_prompts_than_a_sweep_may_have_are_refused(file):
    file.write_text("".join(f"owl {k}\n" for k in range(10_001)))
    with pytest.raises(GsdError, match="has 10001 prompts, and a sweep may have 10000; make parts"):
        swept({"prompts": str(file)}, [])


def test_every_prompt_is_run_with_every_other_value_once(file, monkeypatch, capfd):
    few = file.with_name("few ones.txt")
    few.write_text("\n".join(ODD[:2]))
    sweep = ("-m", *QUICK, "prompts=few ones.txt", "seed=0,1")
    code, out, err = shell(file.parent, *sweep)
    assert code == 0, err
    assert "4 runs: 4 pending; 4 to do." in out
    folder = file.parent / "multirun/prompts"
    assert combinations(folder) == sorted(itertools.product(ODD[:2], (0, 1)))
    (recorded,) = SweepFolder(folder).sweeps
    assert recorded.prompts == {"few ones": ODD[:2]}
    # One line more, and a run that failed: the same command goes on in the folder, and so does a retry
    few.write_text("\n".join(ODD[:3]))
    code, out, err = shell(file.parent, *sweep)
    assert (code, "6 runs: 4 done, 2 pending; 2 to do." in out) == (0, True), err
    (failed,) = (run.path for run in find_runs([folder]) if (run.config["prompt"], run.config["seed"]) == (ODD[1], 1))
    (failed / "DONE").rename(failed / "FAILED")
    take_over(monkeypatch)
    assert retry(SweepFolder(folder), []) == 0
    assert "6 runs: 6 done." in capfd.readouterr().out
    assert Run(failed).config["prompt"] == ODD[1]


def test_side_by_side_and_beside_another_axis(file):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    file.with_name("few.txt").write_text("an owl, asleep\na fox\n")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "name=mine")
    code, _, err = shell(file.parent, "-m", *QUICK, *joblib, "prompts=few", "guidance=sds,csd")
    assert code == 0, err
    runs = find_runs([file.parent / "multirun/mine"])
    assert sorted((run.config["prompt"], run.choices["guidance"]) for run in runs) == sorted(
        itertools.product(["an owl, asleep", "a fox"], ["sds", "csd"])
    )


@pytest.mark.slow
def test_on_slurm(file, cluster):
    options = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1")
    code, _, err = shell(file.parent, "-m", *QUICK, *options, "prior=tiny", "prompts=odd ones")
    assert code == 0, err
    assert combinations(file.parent / "multirun/prompts") == sorted(itertools.product(ODD, (0,)))


def test_folders_are_called_after_what_is_swept(file):
    assert compose("prompts=odd ones", "hydra.mode=MULTIRUN").hydra.sweep.dir == "multirun/prompts"
    named = compose("prompts=odd ones", "name=mine", "hydra.mode=MULTIRUN")
    assert named.hydra.sweep.dir == "multirun/mine"


def test_a_preset_may_name_files_and_is_rehearsed(file, monkeypatch):
    conf = file.parent / "conf"
    (conf / "experiment").mkdir(parents=True)
    preset = {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"prompts": "few, more.txt", "seed": "0,1"}}}}
    (conf / "experiment/mine.yaml").write_text(f"# @package _global_\n# Mine\n{json.dumps(preset)}")
    (file.parent / "few.txt").write_text("an owl\n")
    (file.parent / "more.txt").write_text("a fox\nan owl\n")
    code, _, err = shell(file.parent, "--config-dir", str(conf), *QUICK, "experiment=mine")
    assert code == 0, err
    assert combinations(file.parent / "multirun/mine") == sorted(itertools.product(["an owl", "a fox"], (0, 1)))
    made = []
    monkeypatch.setattr("gsd.experiment.build", lambda cfg: made.append(cfg.prompt))
    config = compose(*QUICK, "prompts=more", "hydra.mode=MULTIRUN")
    rehearse(config, [*QUICK, "prompts=more", "hydra.mode=MULTIRUN"])
    assert sorted(made) == ["a fox", "an owl"]


def test_what_a_record_says_may_be_repeated():
    assert harmless('++hydra.sweeper.params.prompts="odd ones.txt"')


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-m", "prompts=nothing.txt"], r"prompts=nothing\.txt cannot be read \(No such file or directory\); give a"),
        (["-m", "prompts=/dev/zero"], r"prompts=/dev/zero cannot be read \(It is a pipe or a device, and no file\)"),
        (["-m", "prompts=."], r"prompts=\. cannot be read \(Is a directory\)"),
        (["-m", "prompts=latin.txt"], "it is not in UTF-8"),
        (["-m", "prompts=empty.txt"], r"prompts=empty\.txt is empty; give a text file with one prompt per line"),
        (["-m", "prompts="], "prompts= names no file"),
        (["-m", "prompts=few", "prompt=an owl"], "prompt= and prompts= both say what to make"),
        (["-m", "prompts=few,few.txt"], "two files called few"),
        (["-m", "prompts=few", "hydra/sweeper=optuna"], "hydra/sweeper=optuna does not"),
        (["prompts=few"], 'prompts=few makes a run of each line; add -m, or give one prompt as prompt="an owl"'),
        (
            ["-m", "prompts=t3bench_surr"],
            r"curl -o t3bench_surr\.txt https://.*/T3Bench/HEAD/data/prompt_surr\.txt and",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(arguments, sentence, file):
    (file.parent / "latin.txt").write_bytes(b"caf\xe9\n")
    (file.parent / "empty.txt").write_text("\n# nothing\n")
    (file.parent / "few.txt").write_text("an owl\n")
    code, _, err = shell(file.parent, *arguments)
    assert code == 1
    (line,) = err.strip().splitlines()
    with pytest.raises(GsdError, match=sentence):
        raise GsdError(line.removeprefix("error: "))
    assert not (file.parent / "multirun").exists()


def test_t3bench_is_read_under_its_own_names(file):
    for name in T3BENCH:
        (file.parent / f"{name}.txt").write_text("a cat\na dog\n")
    assert list(prompt_sets(",".join(T3BENCH))) == list(T3BENCH)
    assert swept({"prompts": "t3bench_multi"}, ["seed=1"]) == ['prompt="a cat","a dog"', "seed=1"]
