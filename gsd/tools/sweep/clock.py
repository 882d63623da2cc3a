"""When a schedule ticks, in the words of each who keeps time."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass

from gsd.errors import GsdError

DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
NAMES = {"month": {name.lower(): k for k, name in enumerate(MONTHS, 1)}}
NAMES["weekday"] = {name.lower(): k for k, name in enumerate(DAYS)}
ITEM = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", re.ASCII)
TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(:[0-5]\d)?", re.ASCII)
LATER = re.compile(
    r"now\+0*[1-9]\d{0,6}(seconds?|minutes?|hours?|days?|weeks?)?|midnight|noon|teatime|tomorrow", re.ASCII
)


@dataclass(frozen=True)
class Clock:
    """Either five fields of cron, '0 2 * * *', or when sbatch is to begin: '02:00', 'now+6hours'."""

    every: str | None = None
    begin: str | None = None

    @property
    def slurm(self) -> str:
        """For sbatch --begin, which every tick repeats: a date would be past by then. Of cron, a time of day only."""
        if self.begin is not None:
            if not (TIME.fullmatch(self.begin) or LATER.fullmatch(self.begin)):
                raise GsdError(
                    f"--begin {self.begin!r} must be a time of day (02:00), now+N with seconds, minutes, hours, days "
                    "or weeks (now+6hours), midnight, noon, teatime or tomorrow."
                )
            return self.begin
        minute, hour, *rest = self.cron.split()
        if rest != ["*", "*", "*"] or not (minute + hour).isdigit():
            raise GsdError(
                f"--every '{self.every}': Slurm books one time of day; give --begin now+6hours or --backend cron."
            )
        return f"{int(hour):02}:{int(minute):02}"

    @property
    def cron(self) -> str:
        """With numbers in the place of names, which not every cron takes in lists and ranges."""
        if self.every is None:
            time = TIME.fullmatch(self.begin or "")
            if time is None or time[3]:
                raise GsdError(f"--begin {self.begin!r} is for Slurm; cron and systemd need a time of day, or --every.")
            return f"{int(time[2])} {int(time[1])} * * *"
        texts = self.every.split()
        if len(texts) != len(FIELDS) or not self.every.isprintable():
            raise GsdError(
                f"--every {self.every!r} needs five fields of numbers, 1-5, 1,3, */15 or *: minute hour day month "
                "weekday, as '0 2 * * *'."
            )
        fields = dict(zip(FIELDS, map(str.lower, texts), strict=True))
        fields["weekday"] = fields["weekday"].replace("-sun", "-7")
        for name, numbers in NAMES.items():
            words = re.split(r"([a-z]+)", fields[name])
            fields[name] = "".join(str(numbers.get(word, word)) for word in words)
        values = {name: self._values(name, text) for name, text in fields.items()}
        longest = max(monthrange(2000, month)[1] for month in values["month"])
        if min(values["day"]) > longest and fields["weekday"] == "*":
            raise GsdError(f"--every '{self.every}' never comes: none of its months has a day {min(values['day'])}.")
        return " ".join(fields.values())

    @property
    def systemd(self) -> str:
        """For OnCalendar: '0 2 * * 1-5' is 'Mon,Tue,Wed,Thu,Fri *-*-* 2:0:00'."""
        fields = self.cron.split()
        minute, hour, day, month, weekday = (f.replace("-", "..").replace("*/", "0/") for f in fields)
        if day != "*" and weekday != "*":
            raise GsdError(f"--every '{self.every}': by both cron means either and systemd both; give day or weekday.")
        # Days and months count from 1
        day, month = (re.sub(r"\b0/", "1/", field) for field in (day, month))
        date = f"*-{month}-{day} {hour}:{minute}:00"
        if weekday == "*":
            return date
        names = dict.fromkeys(DAYS[k % len(DAYS)] for k in sorted(self._values("weekday", fields[4])))
        return f"{','.join(names)} {date}"

    def _values(self, name: str, text: str) -> set[int]:
        """The numbers that a field stands for."""
        (low, high), found = FIELDS[name], set[int]()
        for item in text.split(","):
            parsed = ITEM.fullmatch(item)
            first, last, step = parsed.groups() if parsed else ("", "", "")
            begin = low if first is None else int(first or -1)
            end = high if first is None else int(last or begin)
            bare = step and first and not last  # 5/15 is not the same to all
            if not parsed or bare or not low <= begin <= end <= high or not 1 <= int(step or 1) <= high:
                raise GsdError(
                    f"--every '{self.every}': {name} {item!r} must be numbers from {low} to {high}, a range as "
                    f"{low}-{high}, * or, of either, every n-th as */2."
                )
            found |= set(range(begin, end + 1, int(step or 1)))
        return found
