"""The table that papers print of a sweep over prompts: a row per method, a column per metric and set of prompts.

Every number is the mean of the prompts' means (several seeds of a prompt count as one), with its interval over the
prompts, as in the page. The sets are the files that the sweeps were given as `prompts=FILE`; without them all prompts
are one set, and of several there is one more column over all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gsd.errors import GsdError, did_you_mean
from gsd.results import markdown, spreadsheet
from gsd.results.best import comparison
from gsd.results.groups import Group, Grouping, estimates, parted, tally, verdicts
from gsd.results.quantities import quantity
from gsd.results.sweep_folder import SweepFolder
from gsd.results.table import COSTS, NOMINAL, SEED, Row, Table
from gsd.statistics.estimates import Estimate

PROMPT = "prompt"
ALL = "all prompts"
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}
LATEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "\u00a0": "~"}


@dataclass(frozen=True)
class Part:
    """The runs of one method with the prompts of one set."""

    numbers: dict[str, Estimate]  # metric -> mean over the prompts
    prompts: int  # of which a run is done
    runs: int  # that are done
    asked: int
    best: frozenset[str]  # metrics in which the method is the best of the set


@dataclass(frozen=True)
class PromptTable:
    methods: list[str]
    sets: list[str]
    metrics: list[str]
    parts: dict[tuple[str, str], Part]  # method, set

    def markdown(self) -> str:
        """Of one set a table with a column per metric; of several a table per metric with a column per set."""
        if len(self.sets) == 1:
            return markdown.table([self._row(method, self._titles(self.sets)) for method in self.methods])
        return "\n".join(
            f"{quantity(metric).title()}\n\n"
            + markdown.table([self._row(m, {name: (name, metric) for name in self.sets}) for m in self.methods])
            for metric in self.metrics
        )

    def csv(self) -> str:
        """A line per method, set and metric. Numbers are as in summary.json: shares are fractions."""
        columns = ("method", "prompts", "metric", "mean", "low", "high", "best", "prompts done", "runs done", "runs")
        lines = [
            dict(zip(columns, (method, name, metric, *_ends(part.numbers[metric]), metric in part.best), strict=False))
            | {"prompts done": part.prompts, "runs done": part.runs, "runs": part.asked}
            for (method, name), part in self.parts.items()
            for metric in self.metrics
            if metric in part.numbers
        ]
        return spreadsheet.text(columns, lines)

    def latex(self) -> str:
        """A tabular for the package booktabs; the best of each column is bold."""
        columns = [(name, metric) for metric in self.metrics for name in self.sets]
        heads = [" & ".join(["method", *(_latex(quantity(metric).title()) for _, metric in columns), "runs"])]
        if len(self.sets) > 1:
            heads.append(" & ".join(["", *(_latex(name) for name, _ in columns), ""]))
        rows = [
            " & ".join([_latex(method), *(self._latex(method, *column) for column in columns), self._runs(method)])
            for method in self.methods
        ]
        lines = [f"\\begin{{tabular}}{{l{'c' * len(columns)}r}}", r"\toprule", *(f"{head} \\\\" for head in heads)]
        return (
            "\n".join([*lines, r"\midrule", *(f"{row} \\\\" for row in rows), r"\bottomrule", r"\end{tabular}"]) + "\n"
        )

    def _titles(self, sets: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {quantity(metric).title(): (name, metric) for name in sets for metric in self.metrics}

    def _row(self, method: str, columns: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        cells = {title: self._text(method, *column) for title, column in columns.items()}
        return {"method": method} | cells | {"runs": self._runs(method)}

    def _text(self, method: str, name: str, metric: str) -> str:
        part = self.parts[method, name]
        if metric not in part.numbers:
            return ""
        text = _said(part.numbers[metric], metric)
        return f"**{text}**" if metric in part.best else text

    def _latex(self, method: str, name: str, metric: str) -> str:
        part = self.parts[method, name]
        if metric not in part.numbers:
            return "--"
        value, _, interval = _said(part.numbers[metric], metric).partition(" ")
        value = f"\\textbf{{{value}}}" if metric in part.best else value
        return value + (f" {{\\scriptsize {interval}}}" if interval else "")

    def _runs(self, method: str) -> str:
        """'12 of 15 runs, 4 prompts'."""
        part = self.parts[method, self.sets[-1]]
        of = "" if part.runs == part.asked else f" of {part.asked}"
        return f"{part.runs}{of}, {part.prompts} prompts"


def prompt_table(
    table: Table, sets: Mapping[str, Iterable[str]], metrics: Sequence[str] | None = None
) -> PromptTable | None:
    """The table of runs that differ in the prompt; None where they do not, or nothing is measured.

    Args:
        sets: name -> prompts. Where there are several, or prompts in none, one more set has all prompts.
        metrics: numbers of the summary; None: those of the report's first table, without the costs.

    Raises:
        GsdError: for a metric that no run has.
    """
    if PROMPT not in table.settings or all(row.status != "done" for row in table.rows):
        return None
    known = [name for name in (*table.metrics, *COSTS) if name not in NOMINAL]
    for name in metrics or ():
        if name not in known:
            raise GsdError(f"--metrics {name}: no run has it; choose {', '.join(known)}{did_you_mean(name, known)}")
    chosen = list(metrics or (name for name in table.headline if name not in COSTS))
    keys = [key for key in table.settings if key not in (SEED, PROMPT)]
    methods = parted(table.rows, keys)
    named = {name: set(prompts) for name, prompts in sets.items()}
    asked = {row.config.get(PROMPT) for row in table.rows}
    one = len(named) == 1 and asked <= set().union(*named.values())
    wanted = named if one else named | {ALL: asked}
    parts: dict[tuple[str, str], Part] = {}
    for name, prompts in wanted.items():
        inside = [row.config.get(PROMPT) in prompts for row in table.rows]
        parts |= {(m, name): part for m, part in _of_set(table, inside, methods, keys, chosen).items()}
    shown = [name for name in chosen if any(name in part.numbers for part in parts.values())]
    if not shown:
        return None
    return PromptTable([group.label for group in methods], list(wanted), shown, parts)


def sets_of(table: Table) -> tuple[dict[str, list[str]], list[str]]:
    """The files of prompts that the sweeps of the runs were given, and a sentence for each record that is damaged."""
    found: dict[str, list[str]] = {}
    left_out = []
    for folder in dict.fromkeys(row.path.parent for row in table.rows):
        try:
            for sweep in SweepFolder(folder).sweeps:
                for name, prompts in sweep.prompts.items():
                    found[name] = [*found.get(name, []), *prompts]
        except GsdError as error:
            left_out.append(str(error))
    return found, left_out


def write(table: PromptTable, out: Path) -> list[Path]:
    """Write it beside the report `out`, as .csv and .tex; returns the paths."""
    from gsd.results.folder import RunFolder

    texts = {".csv": table.csv(), ".tex": table.latex()}
    for suffix, text in texts.items():
        RunFolder(out.absolute().parent).write(out.with_suffix(suffix).name, text)
    return [out.with_suffix(suffix) for suffix in texts]


def _of_set(
    table: Table, inside: Sequence[bool], methods: Sequence[Group], keys: list[str], metrics: Sequence[str]
) -> dict[str, Part]:
    """method -> its part, of the runs that are inside."""
    groups = [replace(group, members=[k for k in group.members if inside[k]]) for group in methods]
    some = Grouping("", keys, groups)
    best = {name: each.best for name in metrics if (each := comparison(table, some, name))}
    return {
        group.label: _part(
            [table.rows[k] for k in group.members],
            verdicts(table),
            frozenset(name for name in best if best[name] == place),
        )
        for place, group in enumerate(groups)
    }


def _part(rows: Sequence[Row], yes_no: frozenset[str], best: frozenset[str]) -> Part:
    done = [row for row in rows if row.status == "done"]
    prompts = len({row.config.get(PROMPT) for row in done})
    return Part(estimates(rows, yes_no), prompts, tally(rows)["done"], len(rows), best)


def _said(estimate: Estimate, metric: str) -> str:
    """'21.3 [20.1, 22.5]', in the unit of its title."""
    of = quantity(metric)
    return format(estimate * of.factor, f".{of.decimals}f")


def _ends(estimate: Estimate) -> tuple[object, ...]:
    """Mean, low and high; the ends are empty without an interval."""
    known = estimate.low == estimate.low  # nan is not
    return estimate.value, estimate.low if known else "", estimate.high if known else ""


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in " ".join(text.splitlines()))
