"""The tests that are marked gpu, where the checkout with the tests is at hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from xml.etree import ElementTree

from gsd.cli.folders import child_environment
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.result import Row

MARK = "mark.gpu"
SECONDS = 300


def rows(bench: Bench) -> Iterator[Row]:
    files = [path for path in sorted(bench.sizes.tests.rglob("test_*.py")) if MARK in path.read_text(encoding="utf-8")]
    if not files or find_spec("pytest") is None:
        lacking = "pytest is not installed" if files else "there is no checkout with tests here"
        yield Row("not run", note=f"{lacking}; run the command in a checkout with pytest")
        return
    report = bench.large / "tests.xml"
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    done = subprocess.run(
        command, cwd=bench.sizes.tests.parent, env=child_environment(), capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    for case in cases:
        yield _row(case)
    if not cases:
        yield Row("pytest", {}, False, (done.stdout + done.stderr)[-500:])


def _row(case: ElementTree.Element) -> Row:
    name = f"{case.get('classname')}.{case.get('name')}"
    wrong = [each for each in case if each.tag in ("failure", "error")]
    skipped = any(each.tag == "skipped" for each in case)
    note = "skipped" if skipped else " ".join(str(each.get("message")) for each in wrong)[:300]
    return Row(name, {"s": float(case.get("time", 0))}, None if skipped else not wrong, note)
