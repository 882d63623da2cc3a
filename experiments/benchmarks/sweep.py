"""What a large sweep costs to look at: status, summary and report of thousands of runs.

    python experiments/benchmarks/sweep.py [--runs 5000] [--keep FOLDER]

Four short runs are made for real (two noisings, two seeds); the others are copies of them with seeds and numbers of
their own, whose large files are links to those of the four. Each command runs in a process of its own, whose seconds,
processor seconds and peak memory are printed, start of Python included. "again" is the second call in a row: the first
reads files that nothing has read yet.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.results.sweep_folder import Job, Sweep, SweepFolder

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("steps=200", "images_every=50", "turntable.views=60", "turntable.resolution=64", "threads=1")
REWRITTEN = ("config.yaml", "overrides.yaml", "summary.json")  # hold the seed
COMMANDS = {
    "status": ("sweep", "status"),
    "status, again": ("sweep", "status"),
    "summary, with the report": ("sweep", "summary"),
    "report": ("report",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--keep", type=Path, help="folder for the runs, which must not exist; without it, none stays")
    args = parser.parse_args()
    guarded(lambda: _main(args.runs, args.keep))


def _main(runs: int, keep: Path | None) -> None:
    if keep is not None and keep.exists():
        raise GsdError(f"{keep} exists; give another folder with --keep.")
    with TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        sweep = Path(folder).absolute() / "multirun/sweep"
        began = time.perf_counter()
        make(sweep, runs)
        print(f"{runs} runs made in {time.perf_counter() - began:.0f} s")
        print(f"{'':26}{'seconds':>9}{'CPU seconds':>13}{'peak MB':>9}")
        for name, command in COMMANDS.items():
            seconds, cpu, megabytes = measured([sys.executable, "-m", "gsd", *command, str(sweep)])
            print(f"{name:26}{seconds:9.2f}{cpu:13.2f}{megabytes:9.0f}")


def make(sweep: Path, runs: int) -> None:
    """A sweep of so many runs, two noisings by seeds."""
    swept = ("noising=random,consistent", "seed=0,1")
    command = [sys.executable, str(ROOT / "run.py"), "-m", *SHORT, *swept, f"hydra.sweep.dir={sweep}"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        raise GsdError("The runs to be copied failed, see above.")
    originals = [json.loads((path / "summary.json").read_text()) | {"path": path} for path in sweep.glob("*/")]
    jobs, rng = {}, random.Random(0)
    for k in range(runs):
        original = originals[k % len(originals)]
        noising, seed, name = original["options"]["noising"], k // len(originals) + 2, f"{k:08x}"
        copy(original["path"], sweep / name, original["seed"], seed, rng.gauss(0, 1))
        jobs[name] = Job([f"noising={noising}", f"seed={seed}"], 200)
    for original in originals:
        shutil.rmtree(original["path"])
    (sweep / "sweep.json").unlink()
    SweepFolder(sweep).begin(Sweep(["run.py", "-m"], str(ROOT), "basic", "abc", "2026-01-01T00:00:00", jobs))


def copy(original: Path, folder: Path, old: int, new: int, change: float) -> None:
    """The run as it would be with another seed, and with numbers that differ."""
    shutil.copytree(original, folder, copy_function=os.link)
    for name in REWRITTEN:
        text = (folder / name).read_text()
        (folder / name).unlink()
        for form in ("seed: {}\n", "seed={}\n", '"seed": {},', '"seed={}"'):
            text = text.replace(form.format(old), form.format(new))
        (folder / name).write_text(text)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"psnr_aligned": summary["psnr_aligned"] + change}))


def measured(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds, and peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise GsdError(f"{' '.join(command)} failed, see above.")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
