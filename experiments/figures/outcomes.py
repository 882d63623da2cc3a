"""What came out of the runs of the Janus benchmark, and the runs.csv that keeps it."""

from __future__ import annotations

import csv
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import sweeps

from gsd.errors import GsdError
from gsd.results import spreadsheet
from gsd.results.outcome import shares
from gsd.results.runs import Run

AXES = {"bias": "prior.view_bias", "words": "prior.view_words", "scale": "guidance.guidance_scale"}
FORMER = ("noising.kernel", "box")  # the default when the published runs were made, which name no kernel
MENAGERIE = "menagerie"  # the prior that alone has a setting for how strongly view words bind


class Setting(NamedTuple):
    """A point on the axes, at which methods are compared."""

    bias: float  # how much more likely a front view is than a side view, as log-weight
    words: float  # how strongly view words in the prompt bind, on the menagerie: another prior has learned it
    scale: float  # of classifier-free guidance; 1 is none
    regime: str  # further settings that all methods have, such as "prompting=plain"
    prior: str = MENAGERIE

    def __str__(self) -> str:
        words, prior = (f"words {self.words:g}", "") if self.prior == MENAGERIE else ("", f"prior={self.prior}")
        return ", ".join(filter(None, (f"bias {self.bias:g}", words, f"scale {self.scale:g}", self.regime, prior)))


@dataclass(frozen=True)
class Outcome:
    """Of one run. What a runs.csv of an earlier version does not say has a default."""

    method: str  # settings, as in janus.METHODS
    subject: str
    bias: float
    seed: int
    janus: float
    coherent: float
    psnr: float
    view_error: float
    prior_calls: int
    empty: float = math.nan
    turned: float = math.nan
    words: float = 4.0
    scale: float = 1.0
    regime: str = ""
    correlation: float = math.nan  # of neighbouring views' noise and ...
    coverage: float = math.nan  # ... the object's pixels that it reaches, each the least of the run's measurements
    share: float = math.nan  # of the loss in the score's gradient, on average over the run
    prior: str = MENAGERIE

    @property
    def setting(self) -> Setting:
        return Setting(self.bias, self.words, self.scale, self.regime, self.prior)

    @property
    def pair(self) -> tuple[str, int, Setting]:
        """What runs share that are compared, and with it start, cameras and noise levels."""
        return self.subject, self.seed, self.setting


def among(outcomes: Sequence[Outcome], wanted: Mapping[str, Container[Any] | None]) -> list[Outcome]:
    """Those whose fields have one of the values that are wanted; None: any."""
    return [o for o in outcomes if all(some is None or getattr(o, key) in some for key, some in wanted.items())]


def outcome(run: Run, regimes: Sequence[str], everywhere: Sequence[str]) -> Outcome:
    """Of a run; `everywhere`: keys of settings that name no method."""
    typed, found = run.typed, run.summary
    at = {name: float(typed[key]) for name, key in AXES.items() if key in typed}
    unnamed = {*everywhere, *AXES.values(), "steps", "prior"}
    settings = {key: value for key, value in typed.items() if key not in unnamed and (key, value) != FORMER}
    method, regime = _parted(settings, regimes)
    return Outcome(
        method=method,
        subject=found["prompt"],
        seed=found["seed"],
        psnr=found["psnr_aligned"],
        view_error=found["view_error_deg"],
        prior_calls=found["prior_calls"],
        regime=regime,
        prior=typed.get("prior", MENAGERIE),
        **_switched_on(run.records()),
        **at,
        **shares(found),
    )


def _switched_on(records: Sequence[dict[str, float]]) -> dict[str, float]:
    correlation, coverage, share = (
        [record[key] for record in records if key in record]
        for key in ("noise/correlation", "noise/coverage", "loss/consistency/share")
    )
    return {
        "correlation": min(correlation, default=math.nan),
        "coverage": min(coverage, default=math.nan),
        "share": sum(share) / len(share) if share else math.nan,
    }


def _parted(settings: dict[str, str], regimes: Sequence[str]) -> tuple[str, str]:
    """Those of the method, and the regime among the rest."""
    regime = next((r for r in regimes if r and sweeps.typed(r.split()).items() <= settings.items()), "")
    return " ".join(f"{k}={v}" for k, v in settings.items() if f"{k}={v}" not in regime.split()), regime


def read(file: Path, regimes: Sequence[str]) -> list[Outcome]:
    """The outcomes of a runs.csv; that of an earlier version has regimes and steps among a method's settings."""
    if not file.is_file():
        raise GsdError(f"{file} does not exist; --also takes the runs.csv of an earlier call.")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [{name: spreadsheet.plain(cell or "") for name, cell in row.items()} for row in csv.DictReader(lines)]
    kinds, found = get_type_hints(Outcome), []
    for row in rows:
        if "regime" not in row:
            settings = {k: v for k, v in sweeps.typed(row["method"].split()).items() if k != "steps"}
            row["method"], row["regime"] = _parted(settings, regimes)
        found.append(Outcome(**{name: kind(row[name]) for name, kind in kinds.items() if name in row}))
    return found


def write(file: Path, outcomes: Sequence[Outcome]) -> None:
    file.write_text(spreadsheet.text([*get_type_hints(Outcome)], map(vars, outcomes)), encoding="utf-8", newline="")
