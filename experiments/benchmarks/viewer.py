"""What the live viewer costs a run while a browser looks at it.

    python experiments/benchmarks/viewer.py [--rounds 3] [OVERRIDE ...]

Three runs take turns, each in a process of its own: `viewer=none`; `viewer=viser` whose page Chromium has open, but
which is drawn once; and that which is drawn as often as `viewer.cost` allows. What is compared are the processor
seconds of the run's process, all its threads and its start included: on a machine whose cores the browser shares,
seconds on the clock would measure the browser, which draws without a graphics card. The browser still slows what runs
beside it, hence the second run: against it the third has the price of drawing alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import bench

from gsd.cli.errors import guarded
from gsd.errors import GsdError

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a graphics card
LIVE = "Live at "
RUNS = {
    "none": ("viewer=none",),
    "drawn once": ("viewer=viser", "viewer.cost=0"),
    "watched": ("viewer=viser",),
}

Look = Callable[[str], object]


def main() -> None:
    parser = bench.parser(__doc__, "viewer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="of all runs, for example steps=300")
    guarded(lambda: _main(parser.parse_args()))


def _main(args: argparse.Namespace) -> None:
    if CHROMIUM is None:
        raise GsdError("No Chromium is installed: apt-get install chromium.")
    seconds: dict[str, list[float]] = {name: [] for name in RUNS}
    with browser() as look, TemporaryDirectory() as folder:
        for k in range(args.rounds):
            for name, viewer in RUNS.items():
                seconds[name].append(cpu_seconds(Path(folder, f"{name} {k}"), [*viewer, *args.overrides], look))
            print(", ".join(f"{name} {each[-1]:.2f} s" for name, each in seconds.items()), flush=True)
    text = "".join(
        f"watched / {name}: {_ratio(seconds['watched'], seconds[name])}\n" for name in ("none", "drawn once")
    )
    bench.publish(args.out, {"cpu_seconds": seconds, **bench.machine()}, text)


def _ratio(above: list[float], below: list[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    spread = f" +- {stdev(ratios):.3f} (standard deviation of {len(ratios)})" if len(ratios) > 1 else ""
    return f"{mean(ratios):.3f}{spread}"


@contextmanager
def browser() -> Iterator[Look]:
    """Opens a page, in place of the one before."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = chromium.new_page()
        yield page.goto
        chromium.close()


def cpu_seconds(folder: Path, overrides: list[str], look: Look) -> float:
    """Of a run's process; `look` gets the address of its page, if it has one."""
    command = [sys.executable, str(ROOT / "run.py"), f"hydra.run.dir='{folder}'", *overrides]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith(LIVE):
                look(line.removeprefix(LIVE).strip())
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise GsdError(f"The run has failed: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
