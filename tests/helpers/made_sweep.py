"""Sweeps made by hand: their record, and runs of known content."""

import json

from made_runs import make

from gsd.results.sweep_folder import Job, Sweep, SweepFolder

NOISINGS = {"random": "gsd.noising.random.Random", "consistent": "gsd.noising.consistent.Consistent"}


def sweep(jobs, typed=("seed=0,1",), cwd="/", began="2026-01-01T00:00:00"):
    """The record of one. jobs: folder -> overrides."""
    jobs = {name: Job(list(overrides), 10) for name, overrides in jobs.items()}
    return Sweep(list(typed), cwd, "basic", "abc", began, jobs)


def run(folder, noising, seed, status="DONE", **metrics):
    """A run of a noising and a seed, with these metrics."""
    config = {"noising": {"_target_": NOISINGS[noising]}, "seed": seed}
    make(folder, config, metrics, [{"step": k, "loss": 1.0} for k in range(6)], status=status)
    overrides = [f"noising={noising}", f"seed={seed}"]
    (folder / "overrides.yaml").write_text(json.dumps(overrides))
    if status == "DONE":
        summary = json.loads((folder / "summary.json").read_text()) | {"overrides": overrides}
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def grid(folder, numbers, metric="psnr"):
    """A sweep that is done. numbers: noising -> one for each seed."""
    jobs = {}
    for noising, values in numbers.items():
        for seed, value in enumerate(values):
            run(folder / f"{noising}{seed}", noising, seed, **{metric: value})
            jobs[f"{noising}{seed}"] = [f"noising={noising}", f"seed={seed}"]
    SweepFolder(folder).begin(sweep(jobs))
    return folder
