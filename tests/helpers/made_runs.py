"""Run folders made by hand, of known content."""

import json

import torch
import yaml
from PIL import Image

from gsd.rasterizer.ply import SH_C0, Splats

CONFIG = {
    "prompt": "a cat",
    "seed": 0,
    "steps": 10,
    "device": "auto",
    "noising": {"_target_": "gsd.noising.random.Random"},
    "loss": {},
    "camera": {"_target_": "gsd.camera.orbit.Orbit", "views": 2},
    "metric": {"truth": {"_target_": "gsd.metric.truth.Truth"}},
}
CONSISTENT = {"_target_": "gsd.noising.consistent.Consistent", "kernel": "box", "upsample": 9}
LOSS = {"consistency": {"_target_": "gsd.loss.consistency.Consistency", "weight": 0.02}}


def make(folder, config=(), metrics=(), records=(), options=(), status="DONE"):
    """A run. What is given replaces a part of CONFIG or of the chosen options, is added to the summary, or is a line of
    metrics.jsonl."""
    folder.mkdir(parents=True)
    whole = CONFIG | dict(config)
    options = chosen(whole) | dict(options)
    (folder / "choices.yaml").write_text(yaml.safe_dump(options, sort_keys=False))
    (folder / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    summary = {
        "prompt": whole["prompt"],
        "options": options,
        "overrides": [],
        "seed": whole["seed"],
        **dict(metrics),
        "prior_calls": 20,
        "seconds": 2.5,
        "peak_memory_mb": 100.0,
        "versions": {"gsd": "0.1.0"},
        "commit": "abc",
    }
    if status == "DONE":
        (folder / "summary.json").write_text(json.dumps(summary))
    if status:
        (folder / status).write_text("")
    return folder


def chosen(config):
    """group -> option, which has the name of its class's module; a list for losses and metrics."""
    sections = {group: section for group, section in config.items() if isinstance(section, dict)}
    single = {k: v["_target_"].split(".")[-2] for k, v in sections.items() if "_target_" in v}
    return single | {k: [n for n, part in sections[k].items() if isinstance(part, dict)] for k in ("loss", "metric")}


def record(step, **numbers):
    return {"step": step, "prior_calls": 2 * step, "seconds": step / 10, **numbers}


def strip(folder, step, colours=("red", "green", "blue", "white"), rows=2, side=16):
    """strips/NNNNNN.png whose columns have these colours."""
    (folder / "strips").mkdir(exist_ok=True)
    image = Image.new("RGB", (4 * side, rows * side))
    for k, colour in enumerate(colours):
        image.paste(colour, (k * side, 0, (k + 1) * side, rows * side))
    image.save(folder / f"strips/{step:06d}.png")


def blobs(count=1, means=(0.0, 0.0, 0.0), colours=(1.0, 1.0, 1.0), size=0.12):
    """Round, opaque Gaussians; means and colours (rgb in [0, 1]) are one for all or a row each."""
    return Splats(
        means=torch.tensor(means).expand(count, 3),
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        log_scales=torch.full((count, 3), size).log(),
        opacity_logits=torch.full((count,), 6.0),
        sh=((torch.tensor(colours) - 0.5) / SH_C0).expand(count, 3)[:, None],
    )


def random_splats(degree=0, count=40):
    """Gaussians of any size, rotation and colour, with harmonics of a degree."""
    g = torch.Generator().manual_seed(degree)
    return Splats(
        means=0.4 * torch.randn(count, 3, generator=g),
        quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=-1),
        log_scales=torch.randn(count, 3, generator=g) * 0.5 - 2.5,
        opacity_logits=torch.randn(count, generator=g),
        sh=0.3 * torch.randn(count, (degree + 1) ** 2, 3, generator=g),
    )
