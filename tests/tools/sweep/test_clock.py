"""One time in the words of cron, Slurm and systemd."""

import shutil
import subprocess

import pytest

from gsd.errors import GsdError
from gsd.tools.sweep.clock import Clock

CALENDARS = {
    "0 2 * * *": "*-*-* 2:0:00",
    "*/15 * * * *": "*-*-* *:0/15:00",
    "30 1-5 * * 1-5": "Mon..Fri *-*-* 1..5:30:00",
    "0 0 1,15 * *": "*-*-1,15 0:0:00",
    "5 4 * */2 *": "*-1/2-* 4:5:00",
    "0 3 */10 6-8 *": "*-6..8-1/10 3:0:00",
    "0 6 * * 0,6": "Sun,Sat *-*-* 6:0:00",
    "0 6 * * 7": "Sun *-*-* 6:0:00",
}


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
        (Clock(every="0 2 * * Mon"), "systemd", "needs five fields"),
        (Clock(every="0 2 * * @daily"), "cron", "needs five fields"),
        (Clock(every="0 2 1 * 1"), "systemd", "give day or weekday"),
    ],
)
def test_what_cannot_be_said_is_refused(clock, words, sentence):
    with pytest.raises(GsdError, match=sentence):
        getattr(clock, words)
