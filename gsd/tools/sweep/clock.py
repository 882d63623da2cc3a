"""When a schedule ticks, in the words of each who keeps time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gsd.errors import GsdError

DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FIELD = r"(\*|\d+(-\d+)?)(/\d+)?"


@dataclass(frozen=True)
class Clock:
    """Either five fields of cron, '0 2 * * *', or when sbatch is to begin: '02:00', 'now+6hours'."""

    every: str | None = None
    begin: str | None = None

    @property
    def slurm(self) -> str:
        """For sbatch --begin. Of cron, that is a time of day only."""
        if self.begin is not None:
            return self.begin
        minute, hour, *rest = self.cron.split()
        if rest != ["*", "*", "*"] or not (minute + hour).isdigit():
            raise GsdError(
                f"--every '{self.every}': Slurm books one time of day; give --begin now+6hours or --backend cron."
            )
        return f"{int(hour):02}:{int(minute):02}"

    @property
    def cron(self) -> str:
        if self.every is None:
            time = re.fullmatch(r"(\d{1,2}):(\d\d)", self.begin or "")
            if time is None:
                raise GsdError(f"--begin {self.begin} is for Slurm; cron and systemd need a time of day, or --every.")
            return f"{int(time[2])} {int(time[1])} * * *"
        fields = self.every.split()
        if len(fields) != 5 or not all(re.fullmatch(f"{FIELD}(,{FIELD})*", field) for field in fields):
            raise GsdError(
                f"--every '{self.every}' needs five fields of numbers, 1-5, 1,3, */15 or *: minute hour day month "
                "weekday, as '0 2 * * *'."
            )
        return " ".join(fields)

    @property
    def systemd(self) -> str:
        """For OnCalendar: '0 2 * * 1-5' is 'Mon..Fri *-*-* 2:0:00'."""
        minute, hour, day, month, weekday = (f.replace("-", "..").replace("*/", "0/") for f in self.cron.split())
        if day != "*" and weekday != "*":
            raise GsdError(f"--every '{self.every}': by both cron means either and systemd both; give day or weekday.")
        # Days and months count from 1
        day, month = (re.sub(r"\b0/", "1/", field) for field in (day, month))
        date = f"*-{month}-{day} {hour}:{minute}:00"
        return date if weekday == "*" else f"{re.sub(r'[0-7]', lambda d: DAYS[int(d[0])], weekday)} {date}"
