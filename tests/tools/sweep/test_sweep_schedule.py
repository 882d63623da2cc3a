"""One time in the words of cron, Slurm and systemd; a schedule is written for one of them, and installed once."""

import os
import shutil
import subprocess
import sys

import pytest
from launch import ROOT, SMALL

from gsd.config import register
from gsd.errors import GsdError
from gsd.tools.sweep.clock import Clock
from gsd.tools.sweep.schedule import Schedule

CALENDARS = {
    "0 2 * * *": "*-*-* 2:0:00",
    "*/15 * * * *": "*-*-* *:0/15:00",
    "30 1-5 * * 1-5": "Mon,Tue,Wed,Thu,Fri *-*-* 1..5:30:00",
    "0 0 1,15 * *": "*-*-1,15 0:0:00",
    "5 4 * */2 *": "*-1/2-* 4:5:00",
    "0 3 */10 6-8 *": "*-6..8-1/10 3:0:00",
    "0 6 * * 0,6": "Sun,Sat *-*-* 6:0:00",
    "0 6 * * 7": "Sun *-*-* 6:0:00",
    "0 6 * feb-APR Fri-sun": "Fri,Sat,Sun *-2..4-* 6:0:00",
    "0 6 29 2 *": "*-2-29 6:0:00",
}
PLAIN = ("experiment=nightly_ablation", "logger=files", "metric=none", "hydra.sweeper.params.noising=random", *SMALL)
ELSEWHERE = ("hydra/launcher=slurm", "hydra.sweeper.params.loss=none")  # not built here
NIGHTLY = (*PLAIN, *ELSEWHERE, "name=a b")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    register()
    monkeypatch.chdir(tmp_path)


def program(folder, name, text):
    """An executable on PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_script_calls_a_tick_with_this_code_and_environment(tmp_path):
    schedule = Schedule(NIGHTLY, Clock(every="0 2 * * *"), "cron", keep=7)
    (script,) = schedule.write()
    assert script == tmp_path / "multirun/a b/tick.sh"
    # The program is taken for another, which tells how it was called
    program(tmp_path / "bin", "python", 'printf "%s\\n" "$PWD" "$PYTHONPATH" "$PATH" "$@"')
    script.write_text(script.read_text().replace(f"exec {sys.executable} ", f"exec {tmp_path}/bin/python "))
    out = subprocess.run([str(script)], cwd="/", env={}, capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [
        str(tmp_path), str(ROOT), os.environ["PATH"], "-m", "gsd", "sweep", "tick", str(tmp_path / "multirun/a b"),
        *NIGHTLY, "--keep", "7",
    ]  # fmt: skip


def test_cron_has_one_line_for_a_name(tmp_path, monkeypatch):
    """crontab is taken for a file: the interface is to list it and to replace it."""
    program(tmp_path / "bin", "crontab", f'[ "$1" = -l ] && exec cat {tmp_path}/table || cat > {tmp_path}/table')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for every in ("0 2 * * *", "30 3 * * 1-5"):
        schedule = Schedule(NIGHTLY, Clock(every=every), "cron")
        schedule.write()
        schedule.install()
        if every == "0 2 * * *":
            (tmp_path / "table").write_text("@daily another\n" + (tmp_path / "table").read_text())
    script, log = (f"{tmp_path}/multirun/a b/{name}" for name in ("tick.sh", "schedule.log"))
    assert (tmp_path / "table").read_text() == (
        f"@daily another\n30 3 * * 1-5 '{script}' >> '{log}' 2>&1 # gsd-a b\n"
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_systemd_accepts_the_units():
    files = Schedule(NIGHTLY[:-1], Clock(every="0 2 * * 1-5"), "systemd").write()
    assert [file.name for file in files] == ["tick.sh", "gsd-nightly_ablation.service", "gsd-nightly_ablation.timer"]
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, files[1:])], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_slurm_books_the_next_tick_first_and_has_its_options_on_top():
    schedule = Schedule(NIGHTLY[:-1], Clock(begin="02:00"), "slurm", sbatch=["--partition=cpu", "--time=60"])
    lines = schedule.write()[0].read_text().splitlines()
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert options == lines[1 : 1 + len(options)]
    assert {"#SBATCH --begin=02:00", "#SBATCH --dependency=singleton", "#SBATCH --partition=cpu"} <= set(options)
    assert lines[-2] == f"sbatch {schedule.script}"
    assert lines[-1].startswith("exec ")


def test_what_is_run_has_every_character_of_its_name(tmp_path, monkeypatch):
    """By bash for systemd, by cron's rule for a percent sign, and by sbatch's for a word in quotes."""
    (tmp_path / "$HOME 50%").mkdir()
    monkeypatch.chdir(tmp_path / "$HOME 50%")
    overrides = (*NIGHTLY[:-1], "name='a \"b\" %i $x'", *SMALL)
    schedule = Schedule(overrides, Clock(every="0 2 * * *"), "systemd")
    script, service, _ = schedule.write()
    assert script.parent.name == 'a "b" %i $x'
    assert service.name == r"gsd-a\x20\x22b\x22\x20\x25i\x20\x24x.service"
    lines = dict(line.split("=", 1) for line in service.read_text().splitlines() if "=" in line)
    word = str(script).replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    assert lines["ExecStart"] == f'/bin/bash "{word}"'
    assert lines["StandardOutput"] == f"append:{str(schedule.log).replace('%', '%%')}"
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", service], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    line = Schedule(overrides, Clock(every="0 2 * * *"), "cron").crontab_line
    assert line.count("%") == line.count(r"\%") > 0
    script.write_text("#!/bin/bash\necho it runs\n")
    command = line.removeprefix("0 2 * * * ").replace(r"\%", "%")  # as cron reads it
    subprocess.run(command, shell=True, check=True, cwd="/")
    assert schedule.log.read_text() == "it runs\n"
    booked = Schedule(overrides, Clock(begin="02:00"), "slurm", sbatch=["--comment=it's $x"])
    options = [line for line in booked.write()[0].read_text().splitlines() if line.startswith("#SBATCH")]
    assert r'#SBATCH "--job-name=gsd-a \"b\" %i $x"' in options
    assert '#SBATCH "--comment=it\'s $x"' in options


@pytest.mark.parametrize("option", ["--time=1\ntouch x", "-p cpu", "--partition cpu", "", "cpu"])
def test_an_option_of_sbatch_is_one_word_of_one_line(option):
    with pytest.raises(GsdError, match="--sbatch takes one option"):
        Schedule(NIGHTLY, Clock(begin="02:00"), "slurm", sbatch=[option])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "+hydra.sweeper.params.guidance=ism hydra.sweeper.params.noising=consistent",
            r"finds its own noise .*\(Found in the run noising=consistent loss=\w+ seed=0 guidance=ism\.\)$",
        ),
        ("representation.opacity=7", r"representation.opacity=7: .*\(Found in the run noising=random "),
        ("name=../a", "must name one folder"),
    ],
)
def test_a_run_that_cannot_be_is_found_when_the_schedule_is_made(tmp_path, override, sentence):
    overrides = (*PLAIN, *override.split())
    with pytest.raises(GsdError, match=sentence):
        Schedule(overrides, Clock(every="0 2 * * *"), "cron").write()
    assert not (tmp_path / "multirun").exists()


def test_mistakes_show_when_it_is_written(tmp_path, monkeypatch):
    with pytest.raises(GsdError, match="experiment=sds is no sweep"):
        Schedule(["experiment=sds"], Clock(begin="02:00"), "cron").write()
    with pytest.raises(GsdError, match="need a time of day"):
        Schedule(NIGHTLY, Clock(begin="now+1hour"), "cron").write()
    assert not (tmp_path / "multirun").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    for backend, program in (("cron", "crontab"), ("systemd", "systemctl"), ("slurm", "squeue")):
        schedule = Schedule(NIGHTLY, Clock(begin="02:00"), backend)
        monkeypatch.setenv("HOME", str(tmp_path))
        schedule.write()
        with pytest.raises(GsdError, match=program):
            schedule.install()


@pytest.mark.parametrize("cron", CALENDARS)
def test_cron_for_systemd(cron):
    calendar = Clock(every=cron).systemd
    assert calendar == CALENDARS[cron]
    if shutil.which("systemd-analyze"):
        subprocess.run(["systemd-analyze", "calendar", calendar], check=True, capture_output=True)


def test_a_time_of_day_for_all_three():
    for clock in (Clock(begin="02:05"), Clock(every="5 2 * * *")):
        assert (clock.slurm, clock.cron, clock.systemd) == ("02:05", "5 2 * * *", "*-*-* 2:5:00")
    assert Clock(begin="now+6hours").slurm == "now+6hours"


@pytest.mark.parametrize(
    ("clock", "words", "sentence"),
    [
        (Clock(every="0 2 * * 1-5"), "slurm", "books one time of day"),
        (Clock(every="*/5 * * * *"), "slurm", "books one time of day"),
        (Clock(begin="now+6hours"), "cron", "need a time of day"),
        (Clock(every="0 2 *"), "cron", "needs five fields"),
        (Clock(every="0 2 * *\n*"), "cron", "needs five fields"),
        (Clock(every="0 2 * * @daily"), "cron", "weekday '@daily' must be"),
        (Clock(every="60 2 * * *"), "cron", "minute '60' must be numbers from 0 to 59"),
        (Clock(every="0 1,24 * * *"), "systemd", "hour '24' must be numbers from 0 to 23"),
        (Clock(every="0 2 0 * *"), "cron", "day '0' must be"),
        (Clock(every="0 2 * 9-3 *"), "cron", "month '9-3' must be"),
        (Clock(every="0 2 * * 0-8"), "cron", "weekday '0-8' must be"),
        (Clock(every="0 */00 * * *"), "slurm", r"hour '\*/00' must be"),
        (Clock(every="7/20 2 * * *"), "systemd", "minute '7/20' must be"),
        (Clock(every="0 2 31 4,11 *"), "cron", "never comes: none of its months has a day 31"),
        (Clock(begin="24:00"), "slurm", "must be a time of day"),
        (Clock(begin="$(touch x)"), "slurm", "must be a time of day"),
        (Clock(begin="2026-01-31T02:00"), "slurm", "must be a time of day"),  # past when the next tick is booked
        (Clock(begin="now+0hours"), "slurm", "must be a time of day"),
        (Clock(begin="7:60"), "cron", "need a time of day"),
        (Clock(every="0 2 1 * 1"), "systemd", "give day or weekday"),
    ],
)
def test_what_cannot_be_said_is_refused(clock, words, sentence):
    with pytest.raises(GsdError, match=sentence):
        getattr(clock, words)
