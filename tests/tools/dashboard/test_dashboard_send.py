"""gsd dashboard as a user types it, against a W&B on this machine that only this test knows."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from fake_wandb import KEY, PROJECT, REPORT, USER, WORKSPACE, Wandb, serving
from launch import ROOT, shell
from made_sweep import grid
from specs import sent

from gsd.tools.dashboard import __main__ as command

NOWHERE = "http://127.0.0.1:9"  # where nothing answers


@pytest.fixture
def sweep(tmp_path):
    return grid(tmp_path / "multirun" / "ablation", {"random": [1.0, 2.0], "consistent": [2.0, 3.0]})


def dashboard(folder, *arguments, address=NOWHERE, key=KEY, **options):
    """Exit code, stdout and stderr, without the credentials and settings that whoever runs the test may have."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "PYTHONPATH": str(ROOT)}
    environment |= {"WANDB_BASE_URL": address, "WANDB_HTTP_TIMEOUT": "3", "WANDB_MODE": "offline"}
    environment |= {"WANDB_API_KEY": key} if key else {}
    options = {"env": environment, "stdin": subprocess.DEVNULL} | options
    return shell(folder.parent, "dashboard", str(folder), *arguments, **options)


def test_a_dry_run_prints_what_would_be_sent_and_needs_neither_account_nor_network(sweep):
    code, out, err = dashboard(sweep, "--dry-run", "--entity", "me", key=None)
    assert (code, json.loads(out)) == (0, sent(sweep))
    assert err == f"No run of {sweep} logs to W&B (logger=wandb), so there will be nothing to show.\n"
    assert sorted(path.name for path in sweep.parent.iterdir()) == ["ablation"]  # nothing is left behind


def test_twice_is_once(sweep):
    """The second time both are found by their names and replaced, and what others have said in the report stays."""
    wandb = Wandb()
    other = {"type": REPORT, "projectName": PROJECT, "entityName": USER, "name": "x", "spec": "{}"}
    wandb.views = [other | {"id": f"other{k}", "displayName": f"another {k}"} for k in range(3)]
    with serving(wandb) as address:
        code, out, err = dashboard(sweep, address=address)
        assert code == 0, err
        first = {view["type"]: dict(view) for view in wandb.views}
        assert out == (
            f"new workspace: {address}/me/gsd?nw={first[WORKSPACE]['name'][3:-2]}\n"
            f"new report: {address}/me/gsd/reports/gsd:-ablation--{first[REPORT]['id'].rstrip('=')}\n"
        )
        assert json.loads(first[WORKSPACE]["spec"]) == sent(sweep)["workspace"]["spec"]
        assert json.loads(first[REPORT]["spec"]) == sent(sweep)["report"]["spec"]
        discussed = json.loads(first[REPORT]["spec"]) | {"discussionThreads": [{"threadID": "1"}], "blocks": []}
        wandb.of(REPORT)[-1]["spec"] = json.dumps(discussed)
        code, again, err = dashboard(sweep, address=address)
        assert code == 0, err
    assert again == re.sub(r"new (workspace|report)", r"\1 brought up to date", out)
    assert wandb.keys == {f"api:{KEY}"}
    assert len(wandb.of(WORKSPACE)) == 1
    assert len(wandb.of(REPORT)) == 4
    second = {view["type"]: view for view in wandb.views}
    assert second[WORKSPACE]["spec"] == first[WORKSPACE]["spec"]
    assert json.loads(second[REPORT]["spec"]) == discussed | {"blocks": json.loads(first[REPORT]["spec"])["blocks"]}


def test_without_credentials_a_sentence_says_how_to_get_some_even_in_a_terminal(sweep):
    """Where wandb itself would ask for a key, and wait."""
    master, terminal = pty.openpty()
    try:
        code, out, _ = dashboard(sweep, key=None, stdin=terminal, stderr=terminal)
        told = os.read(master, 10_000).decode().splitlines()[-1]
    finally:
        os.close(terminal)
        os.close(master)
    assert (code, out) == (1, "")
    expected = "There are no credentials for W&B: set WANDB_API_KEY, or type wandb login; --dry-run needs none."
    assert told == f"error: {expected}"


def test_where_nothing_answers_a_sentence_says_so(sweep):
    code, out, err = dashboard(sweep)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"error: {NOWHERE} does not answer (WANDB_HTTP_TIMEOUT= waits longer); --dry-run needs no network."
    )


def test_a_refusal_is_told(sweep):
    with serving(Wandb(status=401)) as address:
        code, _, err = dashboard(sweep, address=address)
        assert (code, err.splitlines()[-1]) == (1, f"error: {address} refuses: permission denied.")
    code, _, err = dashboard(sweep, key="short")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: The credentials for W&B are of no use: WANDB_API_KEY invalid: ")


def test_a_project_that_does_not_exist_is_not_made(sweep):
    wandb = Wandb()
    with serving(wandb) as address:
        code, _, err = dashboard(sweep, "--project", "other", address=address)
    assert code == 1
    assert "error: W&B has no project me/other, or does not show it to you: log the runs" in err.splitlines()[-1]
    assert not wandb.views


def test_a_view_that_the_library_cannot_read_is_named(sweep):
    """As the app may leave it one day."""
    wandb = Wandb()
    wandb.views = [sent(sweep)["workspace"] | {"type": WORKSPACE, "id": "1", "spec": '{"section": 5}'}]
    with serving(wandb) as address:
        code, _, err = dashboard(sweep, address=address)
    assert code == 1
    assert f"{address}/me/gsd?nw=" in err.splitlines()[-1]
    assert "has been changed into what wandb-workspaces cannot read" in err.splitlines()[-1]


def test_without_the_library_a_sentence_names_the_extra(sweep, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["gsd.tools.dashboard", str(sweep), "--dry-run"])
    with pytest.raises(SystemExit, match=r"needs wandb-workspaces: pip install -e '\.\[dashboard\]'"):
        command.main()
