"""Prompts are the text that is typed, and what Hydra cannot read is put right in one sentence."""

import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from launch import ROOT
from omegaconf import OmegaConf

from gsd.check import check
from gsd.cli.hydra import compose
from gsd.cli.overrides import right, understood
from gsd.config import make
from gsd.errors import GsdError
from gsd.identity import signature
from gsd.protocols import Loss
from gsd.types import Context

PROMPTS = (
    "an owl!  and more!",
    "the dog's bone",
    "“a fox”, said nobody",
    "a bear; a hare",
    "owl #1",
    "сова в шляпе",
    "a (small) dog [toy] {x}",
    "a=b",
    "$HOME is 100% \\ mine",
    'a "red" cat',
    "a cat\nwith a hat",
    "~",
    "costs ${5",
)
TYPED = (
    "2e5",
    "False",
    "None",
    "null",
    "0x1F",
    "9_999",
    "2024-02-29",
    "-.25",
    "0012",
    "off",
    "Yes",
    "+7",
    "nan",
    "[a]",
)

AMBIGUOUS = "prompt=a dog, barking"


def test_a_schedule_of_another_kind_takes_the_place_of_the_one_by_default():
    """Hydra merges them; keys of the kind by default alone are left out when the option is made."""
    cfg = compose("loss.consistency.weight={kind: step, values: [0.0, 0.2], at: [3]}", "loss.consistency.tolerance=0.1")
    assert cfg.hydra.overrides.task[0] == "++loss.consistency.weight={kind: step, values: [0.0, 0.2], at: [3]}"
    weight = make(cfg.loss.consistency, "loss.consistency", Context(), Loss).weight
    assert [weight(step) for step in (2, 3)] == [0.0, 0.2]
    check(compose("representation.decay={kind: points, values: [1.0, 0.1], at: [0, 9]}"), torch.device("cpu"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("representation.dekay={kind: step, values: [1], at: []}", "did you mean decay?"),
        ("guidence.scale={kind: step, values: [1], at: []}", "did you mean guidance?"),
        ("seed={kind: step, values: [1], at: []}", "seed={kind: step, values: [1], at: []} should be a whole number."),
    ],
)
def test_a_schedule_of_nothing_is_refused(override, words):
    with pytest.raises(GsdError) as said:
        check(compose(override), torch.device("cpu"))
    assert words in str(said.value)


def read(argument):
    """The text that the config then holds."""
    value = OverridesParser.create().parse_override(*understood([argument])).value()
    return OmegaConf.create({"text": value}).text


def test_a_prompt_comes_into_the_config_as_it_is_typed():
    text = '007 says: "it\'s ${5 or 1e3!"'
    assert compose(f"prompt={text}").prompt == text


@pytest.mark.parametrize("text", [*(p for p in PROMPTS if "," not in p), *TYPED])
def test_a_prompt_is_the_text_typed(text):
    assert read(f"prompt={text}") == text


@pytest.mark.parametrize("text", [*PROMPTS, "a cat, sitting", "'", '"a', "a\\", "\\\\'"])
def test_what_is_put_right_may_be_pasted_into_a_shell(text):
    (argument,) = shlex.split(right("prompt", text))
    assert read(argument) == text


@pytest.mark.parametrize(
    ("typed", "odd", "text"),
    [
        (AMBIGUOUS, ",", "a dog, barking"),
        ("prompt=a dog!, barking", "!", "a dog!, barking"),
        ("prompt='a dog", "'", "a dog"),
        ("prompt='a dog's bone'", "'", "a dog's bone"),
        ("name=was ist das für", "ü", "was ist das für"),
        ("init.path=a&b", "&", "a&b"),
    ],
)
def test_a_refusal_names_the_character_and_gives_the_argument_to_paste(typed, odd, text):
    with pytest.raises(GsdError) as refused:
        understood([typed]) if typed != AMBIGUOUS else compose(typed)
    said = str(refused.value)
    assert repr(odd) in said
    assert not re.search(r"Exception|Error|Lexer|\n", said)
    pasted = re.search(r"for this text type (.*?)(?:, or add -m .*)?\.$", said)[1]
    (argument,) = shlex.split(pasted)
    assert [argument] == understood([argument])
    assert read(argument) == text


def test_a_sweep_over_prompts_is_one_of_texts():
    assert understood(["-m", "prompt=a cat!,12,an owl"]) == ['prompt="a cat!","12",an owl', "-m"]
    with pytest.raises(GsdError, match="leave -m"):
        understood(["--multirun", "seed=1,2", "--info"])


@pytest.mark.parametrize(
    "typed", [["-m", "seed=1,2", "steps=3"], ["seed=1,2", "--multirun", "steps=3"], ["seed=1,2", "steps=3", "-m"]]
)
def test_flags_may_stand_anywhere(typed):
    """argparse would call the words behind one unrecognized."""
    assert understood(typed)[:2] == ["seed=1,2", "steps=3"]
    assert sorted(understood(typed)) == sorted(typed)


@pytest.mark.parametrize(
    "typed",
    [
        *("loss=null", "viewer=7", "init=[shell,menagerie]", "scale=0.5", "prior=true", "logger=[tv,3]", "hydra=1"),
        *("+experiment=-inf", "++scale=nan", "+noising@prior=2"),
    ],
)
def test_a_group_set_to_no_name_is_refused_with_the_names(typed):
    group = re.split("[=@]", typed.lstrip("+"))[0]
    with pytest.raises(GsdError, match=rf"^{group}=.* is no option; choose "):
        compose(typed)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seed=" + "7" * 4500, "too many digits"),
        ("checkpoint_every=" + "7" * 350, "less than or equal"),
        ('name="a\x07b"', "'\\x07', which is not text"),
        ('name="' + "n" * 300 + '"', "300 bytes"),
        ("prompt=\udcff", "not text"),
        ("+seeed=3", "did you mean seed"),
        ("+loss.sparsty.weight=1", "did you mean sparsity"),
        ("+loss.tv.wieght=1", "did you mean weight"),
        ("+metric.thruth.azimuths=9", "did you mean truth"),
        ("images_every=5e2", "images_every=5e2 should be a whole number; write images_every=500."),
        ("threads=1.5", "threads=1.5 should be a whole number."),
        ("turntable.distance=far", "turntable.distance=far should be a number."),
        ("profile=perhaps", "profile=perhaps should be true or false."),
        ("turntable=[3]", "turntable=[3] should be set by its own settings, not by a list."),
        ("seed=null", "seed=null should be set to something"),
        ("densify.until=7", "since no densify is chosen; choose densify=default, densify=mcmc"),
        ("metric=truth,", "choose a_lpips, clip_score"),
        ("noising=random,nearest", "split_nearest; with -m there is a run with each."),
        ("loss=tv,opaque", "several as loss=[A,B]; with -m there is a run with each."),
        ("steps=7,", "leave the comma out"),
        ("sigma.t_max=0,5", "add -m for a run with each, or type sigma.t_max=0.5."),
        ("stages={coarse: [seed=1]}", "put the texts in it into quotes"),
        ("--resolve", "belongs to --cfg job"),
        ("-cn=other", "gsd has a main config of its own"),
        ("=owl", "'' is no setting; write KEY=VALUE"),
        ("steps =5", "'steps ' is no setting"),
        ("++:seed=5", "is no setting"),
        ("--guidance.guidance_scale=8", "type guidance.guidance_scale=8."),
        ("-seed", "type seed=VALUE."),
        ("hydra.run.dir=", "names no folder"),
        ("~metric", "a group cannot be left out; metric=none."),
        ("~viewer=5", "a group cannot be left out; viewer=none."),
        ("~camera", "a group cannot be left out; choose orbit."),
        ("prompt=${owl}", "prompt refers to ${owl}, which does not exist"),
        ("prompt=${oc.env:GSD_NOT_THERE}", "prompt cannot be read: Environment variable 'GSD_NOT_THERE' not found."),
        ("prompt=a ${place:1}", "prompt cannot be read: Unsupported interpolation type place."),
        ("prompt=${name} ${prompt}", "prompt refers to itself; give it a value."),
    ],
)
def test_other_values_are_one_sentence(typed, said):
    with pytest.raises(GsdError, match=re.escape(said)) as refused:
        signature(compose(typed))
    assert not re.search(r"\n|full_key|object_type|merging", str(refused.value))


def test_presets_are_read_as_they_are_written_or_refused(gsd, tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    first = "# @package _global_\n"
    texts = {
        "marked": "\ufeff" + first + "prompt: on\nprompting:\n  negative: 1e-3\n",
        "dated": first + "prompt: 1999-12-31\n",
        "bare": "seed: 4\n",
        "late": "# Mine\n" + first + "seed: 4\n",
        "tabbed": first + "turntable:\n\tviews: 4\n",
        "listed": first + "- seed\n",
        "misspelt": first + "turntabel:\n  views: 4\n",
        "term": first + "loss:\n  opauqe:\n    weight: 1\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "latin.yaml").write_bytes(first.encode() + b"prompt: caf\xe9\n")

    def refused(name):
        with pytest.raises(GsdError) as refusal:
            compose("--config-dir", str(tmp_path / "mine"), f"experiment={name}")
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    assert "is not '# @package _global_'; add it" in refused("bare")
    assert "is not '# @package _global_'; add it" in refused("late")
    assert "tabbed.yaml cannot be read: found character '\\t' that cannot start any token in line 3" in refused(
        "tabbed"
    )
    assert "holds a list" in refused("listed")
    assert "sets 'turntabel', which does not exist; did you mean turntable?" in refused("misspelt")
    assert "did you mean opaque?" in refused("term")
    assert "not in UTF-8" in refused("latin")
    os.mkfifo(folder / "pipe.yaml")
    assert "experiment=pipe does not exist" in refused("pipe")
    marked = compose("--config-dir", str(tmp_path / "mine"), "experiment=marked")
    assert (marked.prompt, marked.prompting.negative) == ("on", "1e-3")
    assert compose("--config-dir", str(tmp_path / "mine"), "experiment=dated").prompt == "1999-12-31"


FIRST = "# @package _global_\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FIRST + "negative: x\nprompting:\n  negative: [a]\n", "sets 'negative', which does not exist"),
        (FIRST + "seed: [1]\n", "In the preset experiment/odd, seed should be a whole number."),
        (FIRST + "turntable:\n  fov: wide\n", "turntable.fov should be a number."),
        (FIRST + "metric: [truth]\n", "should be set by its own settings, not by a list"),
        (FIRST + "defaults:\n  - guidance: sds\n", "write '- override /guidance: sds'"),
        (
            FIRST + "defaults:\n  - /guidance: sds\n",
            "guidance is chosen twice; in a preset write '- override /guidance",
        ),
        (FIRST + "defaults:\n  - override /gidance: sds\n", "did you mean guidance?"),
        (FIRST + "defaults:\n  - override hydra/launcher: joblib\n", "write '- override /hydra/launcher: OPTION'"),
        (FIRST + "defaults: sds\n", "its defaults should be a list of options"),
        (FIRST + "defaults: [2.5]\n", "its defaults should be a list of options"),
        (FIRST + "defaults: [[sds]]\n", "its defaults should be a list of options"),
        (FIRST + "defaults:\n  - override /loss: {a: opaque}\n", "its defaults should be a list of options"),
        (FIRST + "defaults: [odd]\n", "leads back to itself"),
        (FIRST + "loss: &x\n  tv: *x\n", "odd.yaml cannot be read: a value in it holds itself."),
        (FIRST + "hydra:\n  launcher:\n    cores: 3\n", "sets 'cores', which does not exist"),
    ],
)
def test_a_preset_with_a_mistake_is_refused_in_a_sentence_that_names_it(tmp_path, text, said, monkeypatch):
    monkeypatch.setenv("GSD_CONF", "")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/odd.yaml").write_text(text)
    with pytest.raises(GsdError, match=re.escape(said)) as refused:
        compose("--config-dir", str(tmp_path), "experiment=odd")
    assert not re.search(r"\n|full_key|object_type|Config\b|raised", str(refused.value))


def test_names_in_presets_are_text_and_options_are_yaml_files(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CONF", "")
    (tmp_path / "experiment").mkdir()
    for name, text in {"off": "name: off\nobjective: 1e2\n", "none": "name: ~\nobjective: null\n"}.items():
        (tmp_path / f"experiment/{name}.yaml").write_text(FIRST + text)
    (tmp_path / "experiment/short.yml").write_text(FIRST)
    found = compose("--config-dir", str(tmp_path), "experiment=off")
    assert (found.name, found.objective) == ("off", "1e2")
    found = compose("--config-dir", str(tmp_path), "experiment=none")
    assert (found.name, found.objective) == (None, None)
    with pytest.raises(GsdError, match=r"rename .*/short\.yml to short\.yaml"):
        compose("--config-dir", str(tmp_path), "experiment=short")


def test_a_loss_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CONF", "")
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss/mine.yaml").write_text("_target_: gsd.loss.sparsity.Sparsity\nweight: 2.0\n")
    cfg = compose("--config-dir", str(tmp_path), "loss=mine")
    with pytest.raises(GsdError, match=re.escape("begin the option's file with '# @package loss.NAME'.")):
        check(cfg, torch.device("cpu"))


def test_a_preset_with_a_sweep_of_its_own_is_not_swept_over(tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"
    (folder / "seeds.yaml").write_text(text)
    command = [sys.executable, ROOT / "run.py", "--config-dir", tmp_path / "mine", "-m", "experiment=seeds,sds"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # Hydra makes one sweeper
    assert done.returncode == 1
    assert "experiment=seeds sets hydra.sweeper.params, which a sweep over presets cannot follow" in done.stderr
    assert not list(tmp_path.glob("multirun/*/*/config.yaml"))


def test_ctrl_c_while_it_starts_is_no_traceback(gsd, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gsd.cli.overrides.understood", interrupted)
    code, _, err = gsd("seed=1")
    assert (code, err) == (130, "stopped\n")


def test_relative_paths_hold_where_hydra_changes_the_folder(gsd, tmp_path):
    np.savez(tmp_path / "points.npz", xyz=np.random.default_rng(0).normal(size=(40, 3)))
    typed = ("init=point_cloud", "hydra.job.chdir=true", "metric=none", "prompt=a dragon")  # which the prior refuses
    said = gsd(*typed, "init.path=points.npz")[0]
    assert "dragon" in said
    assert "no such file" not in said


def test_the_program_may_be_a_link(tmp_path):
    link = tmp_path / "linked.py"
    link.symlink_to(ROOT / "run.py")
    done = subprocess.run([sys.executable, link, "--cfg", "job"], cwd=tmp_path, stdout=-1, text=True, check=True)
    assert "_target_: gsd.noising" in done.stdout
