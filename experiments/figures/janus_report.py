"""The tables and the figure of the Janus benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import plots
from outcomes import MENAGERIE, Outcome, Setting
from pairs import difference

from gsd.errors import GsdError
from gsd.results import markdown
from gsd.statistics.estimates import Estimate, averaged, mean
from gsd.statistics.pairs import Difference, holm
from gsd.statistics.proportions import share

SHARES = ("coherent", "janus", "turned", "empty")
PSNR = (0.0, 100.0)
BASE = "SDS"
WITHIN = (("GSD", "3D noise"), ("GSD", "loss"))  # what the one part adds to the other
CELLS = ("GSD", "3D noise", "loss", "SDS")
COMPARED = ("janus", "coherent", "psnr")
LEFT_OVER = 0.005  # of prior calls, since steps are whole
TITLES = {"janus": "Janus", "psnr": "PSNR dB"}  # of quantities that are not called so
Table = list[dict[str, Any]]
Within = Sequence[tuple[str, str]]


def estimate(outcomes: Sequence[Outcome], quantity: str) -> Estimate | None:
    """A mean or share over animals; None where runs do not say, as those of an earlier version."""
    values, animals = [getattr(o, quantity) for o in outcomes], [o.subject for o in outcomes]
    if not values or np.isnan(values).any():
        return None
    if quantity in SHARES:
        return share(values, animals)
    return mean(averaged(np.array(values)[:, None], animals).ravel().tolist()).within(*PSNR)


def effect(a: Sequence[Outcome], b: Sequence[Outcome], quantity: str) -> Difference | None:
    """The mean difference a - b of pairs, over animals; None without pairs.

    Raises GsdError for a pair with unequal prior calls.
    """
    ours, theirs = ({o.pair: o for o in some} for some in (a, b))
    for pair in ours.keys() & theirs.keys():
        calls = [some[pair].prior_calls for some in (ours, theirs)]
        if max(calls) - min(calls) > LEFT_OVER * max(calls):
            raise GsdError(
                f"{ours[pair].method} and {theirs[pair].method} have {calls[0]} and {calls[1]} prior calls, {pair[0]}, "
                f"seed {pair[1]}; delete the runs of one number."
            )
    mine, other = ({pair: float(getattr(o, quantity)) for pair, o in some.items()} for some in (ours, theirs))
    return difference(mine, other, yes_no=quantity in SHARES)


def rates(outcomes: Sequence[Outcome], methods: Mapping[str, str]) -> Table:
    """One row per setting and method."""
    rows = []
    for setting in _settings(outcomes):
        for name, method in methods.items():
            mine = [o for o in outcomes if (o.method, o.setting) == (method, setting)]
            if mine:
                row = {"setting": str(setting), "method": name, "animals": len({o.subject for o in mine})}
                row |= {"runs": len(mine), "prior calls": f"{np.mean([o.prior_calls for o in mine]):.0f}"}
                found = {q: estimate(mine, q) for q in (*SHARES, "psnr")}
                row |= {f"{TITLES.get(q, q)} %": _text(found[q], 100, ".0f") for q in SHARES}
                rows.append(row | {"PSNR dB": _text(found["psnr"], 1, ".1f")})
    return rows


def comparisons(outcomes: Sequence[Outcome], methods: Mapping[str, str], within: Within = WITHIN) -> Table:
    """One row per method against SDS and per pair of `within`; p is not adjusted."""
    of = {name: [o for o in outcomes if o.method == method] for name, method in methods.items()}
    rows = []
    for one, other in (*((name, BASE) for name in methods if name != BASE), *within):
        if {one, other} <= of.keys():
            found = {q: effect(of[one], of[other], q) for q in COMPARED}
            rows += _row(f"{one} - {other}", of[one], found)
    if set(CELLS) <= of.keys():
        rows += _row("GSD - 3D noise - (loss - SDS)", of["GSD"], {q: interaction(of, q) for q in COMPARED})
    return rows


def interaction(of: Mapping[str, Sequence[Outcome]], quantity: str) -> Difference | None:
    """What the loss adds with 3D noise, less what it adds without: of shares a difference of two, see `paired`."""
    gsd, noise, loss, sds = ({o.pair: float(getattr(o, quantity)) for o in of[name]} for name in CELLS)
    with_noise = {pair: gsd[pair] - noise[pair] for pair in gsd.keys() & noise.keys()}
    without = {pair: loss[pair] - sds[pair] for pair in loss.keys() & sds.keys()}
    return difference(with_noise, without, yes_no=2 if quantity in SHARES else 0)


def _row(name: str, outcomes: Sequence[Outcome], found: Mapping[str, Difference | None]) -> Table:
    if not found["psnr"]:
        return []
    row = {"comparison": name, "animals": len({o.subject for o in outcomes}), "pairs": found["psnr"].mean.count}
    for spaces, (quantity, each) in enumerate(found.items()):
        points = quantity in SHARES
        title = f"{TITLES.get(quantity, quantity)}, points" if points else TITLES[quantity]
        assert each is not None
        row[title] = _text(each.mean, 100 if points else 1, "+.0f" if points else "+.1f")
        row[f"p{' ' * spaces}"] = f"{each.p:.2g}"
    return [row]


def _text(found: Estimate | None, factor: float, spec: str) -> str:
    return format(found * factor, spec) if found else "not measured"


def _settings(outcomes: Sequence[Outcome]) -> list[Setting]:
    return sorted({o.setting for o in outcomes}, key=lambda s: (s.prior, s.regime, s.scale, s.words, s.bias))


def breaking_bias(outcomes: Sequence[Outcome]) -> Estimate:
    """The view_bias at which half the runs are incoherent, on straight lines between the biases; infinite beyond them.

    Its interval holds the biases at which one half is in the interval of the share of incoherent runs, and so covers as
    that one does.
    """
    biases = sorted({o.bias for o in outcomes})
    curves = []
    for bias in biases:
        here = [o for o in outcomes if o.bias == bias]
        found = share([1 - o.coherent for o in here], [o.subject for o in here])
        curves.append((found.value, found.high, found.low))
    value, low, high = (_crossing(biases, curve) for curve in np.array(curves).T)
    return Estimate(value, low, high, len(outcomes))


def _crossing(biases: Sequence[float], incoherent: Any) -> float:
    if np.isnan(incoherent).any():
        return np.nan
    broken = np.maximum.accumulate(incoherent)  # a rising curve
    if broken[-1] < 0.5:
        return np.inf
    return -np.inf if broken[0] >= 0.5 else float(np.interp(0.5, broken, biases))


def breaking(outcomes: Sequence[Outcome], methods: Mapping[str, str]) -> Table:
    rows = []
    for setting in dict.fromkeys(s._replace(bias=0) for s in _settings(outcomes)):
        for name, method in methods.items():
            mine = [o for o in outcomes if o.method == method and o.setting._replace(bias=0) == setting]
            biases = sorted({o.bias for o in mine})
            if len(biases) > 1:
                where = str(setting).partition(", ")[2]
                rows.append({"setting": where, "method": name, "view_bias": bias_text(breaking_bias(mine), biases)})
    return rows


def bias_text(found: Estimate, biases: Sequence[float]) -> str:
    def text(value: float) -> str:
        edges = {np.inf: f"> {biases[-1]:g}", -np.inf: f"< {biases[0]:g}"}
        return edges.get(value, f"{value:.1f}")

    alone = np.isnan([found.low, found.high]).any()
    return text(found.value) + ("" if alone else f" [{text(found.low)}, {text(found.high)}]")


def sections(
    outcomes: list[Outcome], methods: Mapping[str, str], regimes: Mapping[str, str], within: Within = WITHIN
) -> dict[str, Table]:
    """Title -> table, without those that are empty."""
    tables = {"What becomes of the runs": rates(outcomes, methods)}
    for setting in _settings(outcomes):
        tables[f"Differences at {setting}"] = comparisons(
            [o for o in outcomes if o.setting == setting], methods, within
        )
    priors, scales = (sorted({getattr(o, axis) for o in outcomes}) for axis in ("prior", "scale"))
    for prior, (name, regime), scale in product(priors, regimes.items(), scales):
        mine = [o for o in outcomes if (o.prior, o.regime, o.scale) == (prior, regime, scale)]
        several = {m for m in methods.values() if len(_settings([o for o in mine if o.method == m])) > 1}
        over = "biases and words" if prior == MENAGERIE else f"biases of prior={prior}"
        tables[f"Differences over all {over}, scale {scale:g}, {name}"] = comparisons(
            [o for o in mine if o.method in several], methods, within
        )
    tables["The bias at which half the runs are incoherent"] = breaking(outcomes, methods)
    return {title: rows for title, rows in tables.items() if rows}


def text(sections: Mapping[str, Table]) -> str:
    """Markdown."""
    return "\n".join(f"## {title}\n\n{markdown.table(rows)}{_smallest(rows)}" for title, rows in sections.items())


def _smallest(rows: Table) -> str:
    ps = [float(value) for row in rows for key, value in row.items() if key.strip() == "p"]
    if not ps:
        return ""
    return f"\nThe smallest of these {len(ps)} p is {min(holm(ps)):.2g} once adjusted for their number (Holm).\n"


def draw(outcomes: Sequence[Outcome], cells: Mapping[str, str]) -> Any:
    """Rows are settings but for the bias, which is the abscissa."""
    settings = list(dict.fromkeys(s._replace(bias=0) for s in _settings(outcomes)))
    quantities = {"janus": "Janus rate", "coherent": "coherent runs", "psnr": "aligned PSNR (dB)"}
    figure = plots.figure(9, 0.4 + 2.4 * len(settings))
    axes = figure.subplots(len(settings), len(quantities), squeeze=False)
    biases = sorted({o.bias for o in outcomes})
    for row, setting in zip(axes, settings, strict=True):
        for axis, (quantity, title) in zip(row, quantities.items(), strict=True):
            for k, (name, method) in enumerate(cells.items()):
                at = [
                    [o for o in outcomes if (o.method, o.setting) == (method, setting._replace(bias=b))] for b in biases
                ]
                found = [(x, estimate(mine, quantity)) for x, mine in enumerate(at)]
                draw_points(axis, [(x + 0.08 * (k - 1.5), each) for x, each in found if each], name, f"C{k}")
            axis.set(xticks=range(len(biases)), xticklabels=[f"{b:g}" for b in biases], xlabel="view_bias", title=title)
            axis.set_xlim(-0.5, len(biases) - 0.5)
            if quantity in SHARES:
                axis.set_ylim(-0.03, 1.03)
        row[0].set_ylabel(str(setting).partition(", ")[2].replace(", ", "\n"))
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 5))
    return figure


def draw_points(axis: Any, found: Sequence[tuple[float, Estimate]], name: str, colour: str) -> None:
    if found:
        x, value, low, high = np.array([(x, e.value, e.low, e.high) for x, e in found]).T
        look = {"color": colour, "marker": "o", "ms": 3.5, "lw": 1.2, "capsize": 2}
        axis.errorbar(x, value, np.nan_to_num([value - low, high - value]), label=name, **look)
