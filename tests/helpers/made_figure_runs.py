"""Finished run folders made by hand, as figures read them."""

import json

import yaml
from PIL import Image

TURNTABLE = {"views": 12, "resolution": 32, "fov": 40.0, "distance": 2.2, "elevation": 15.0}


def make(folder, method, prompt, seed, numbers=(), evaluations=(), metric=()):
    """A run of METHOD, as typed; `numbers` are of its summary, each of `evaluations` has a grey frame."""
    path = folder / f"{method}_{prompt}_{seed}".translate({ord(c): "_" for c in "/ =[],."})
    (path / "frames").mkdir(parents=True)
    typed = [*method.split(), f"prompt={prompt}", f"seed={seed}"]
    (path / "overrides.yaml").write_text(yaml.safe_dump(typed))
    config = {"prompt": prompt, "seed": seed, "turntable": TURNTABLE, "metric": dict(metric)}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    summary = {"prompt": prompt, "seed": seed, "prior_calls": 400, **dict(numbers)}
    (path / "summary.json").write_text(json.dumps(summary))
    (path / "evaluations.jsonl").write_text("".join(json.dumps(record) + "\n" for record in evaluations))
    for record in evaluations:
        Image.new("RGB", (8, 8), "grey").save(path / "frames" / f"{record['step']:06d}.png")
    (path / "DONE").write_text("")
    return path
