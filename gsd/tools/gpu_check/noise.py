"""gsd noising-check on the device: whether the maps that a GPU makes are what their noising claims."""

from __future__ import annotations

from collections.abc import Iterator

from gsd.noising.check.acceptance import check
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row
from gsd.tools.noising_check import configured


def rows(bench: Bench) -> Iterator[Row]:
    for setting in bench.sizes.checked:
        noising = configured(f"noising={setting}".split())
        findings = check(noising, bench.sizes.draws, device=bench.device)
        failed = [f"{each.test}: {each.figure:.3g}, not {each.threshold}" for each in findings if each.failed]
        claims = ", ".join(sorted(noising.claims)) or "nothing"
        yield Row(setting, {"claims": claims, "tests": len(findings)}, not failed, "; ".join(failed))
