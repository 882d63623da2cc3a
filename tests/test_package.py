"""The wheel, installed into an environment where this checkout is not, from an empty folder."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv

import pytest
from launch import ROOT, SMALL

import gsd

RUN = ("noising=random", "loss=none", "metric=none", "representation.backend=torch", *SMALL)  # compiles no kernels


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that nothing can be written to, with the wheel, and with this one's packages less its own gsd."""
    folder = tmp_path_factory.mktemp("repository")
    for git in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", *git], cwd=folder, check=True)  # somebody else's, around the environment
    venv.create(folder / "env", symlinks=True)
    (site,) = folder.glob("env/lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    pip = [sys.executable, "-m", "pip", "--python", folder / "env", "install", "--no-deps", "--no-index", "-q", wheel]
    subprocess.run(pip, check=True)
    subprocess.run(["chmod", "-R", "a-w", site], check=True)
    before = files(site)
    yield folder / "env" / "bin"
    assert files(site) == before  # root can write all the same
    subprocess.run(["chmod", "-R", "u+w", site], check=True)


def lines(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def command(installed, tmp_path):
    def call(*arguments):
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "GSD_CONF")}
        line = [installed / "gsd", *map(str, arguments)]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_the_commands_of_a_wheel(command, tmp_path):
    assert "consistent         3D consistent noising" in command("--help")
    assert "Done: " in command(*RUN, "steps=3")
    (run,) = tmp_path.glob("outputs/*/*")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["versions"]["gsd"] == gsd.__version__
    assert summary["commit"] is None  # not that of the repository around the environment
    assert "report.html" in command("report", "outputs")
    assert command("sweep", "status", run.parent).endswith("1 runs: 1 done.\n")
    assert "random: claims" in command("noising-check", "noising=random", "--draws", 50)


@pytest.mark.slow  # compiles kernels, for half a minute
def test_a_sweep_of_a_wheel_with_kernels_and_options_of_ones_own(command, tmp_path):
    own = ("--config-dir", ROOT / "docs" / "example")
    assert command("-m", *SMALL, "steps=2", "noising=consistent,shared", *own).endswith("2 runs: 2 done.\n")
    next(tmp_path.glob("multirun/noising/*/DONE")).unlink()
    assert command("sweep", "retry", "multirun/noising").endswith("2 runs: 2 done.\n")


def test_what_the_wheel_holds(wheel):
    held = {line.split()[0] for line in lines(sys.executable, "-m", "zipfile", "-l", wheel)[1:]}
    tracked = lines("git", "ls-files", "--cached", "--others", "--exclude-standard", "gsd", "conf", "hydra_plugins")
    wanted = {re.sub("^conf/", "gsd/conf/", name) for name in tracked}
    assert {name for name in held if ".dist-info/" not in name} == wanted


def test_no_text_installs_the_other_project():
    """Which is what the package index has under the name gsd."""
    texts = [name for name in lines("git", "ls-files") if name.endswith((".py", ".md", ".yaml", ".toml", ".txt"))]
    wrong = {name for name in texts if re.search(r"pip install (-\S+ )*['\"]?gsd(?!-lab)\b", (ROOT / name).read_text())}
    assert wrong == set()
