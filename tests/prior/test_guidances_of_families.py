"""Every guidance with every family of pipelines, for two steps: what runs and what is refused (docs/priors.md)."""

import pytest
import torch
from families import MAKERS, random_family
from launch import ROOT
from pipelines import random_multiview, random_pipeline
from quick_config import quick

from gsd.cli.folders import CONF
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.loop import optimise

GUIDANCES = sorted(f.stem for f in (CONF / "guidance").glob("*.yaml"))
SMALL = ("init.points=60", "camera.groups=1", "camera.resolution=16", "turntable.views=2", "turntable.resolution=8")
FEW = (*SMALL, "noising=random", "loss=none", "metric=none", "steps=2", "threads=1")
FLOWS = ("sd3", "flux", "sana")
AROUND = ("camera.views=4", "camera.delta_deg=90")  # as MVDream sees
OTHERS = {"stable_diffusion": random_pipeline, "mvdream": random_multiview}
RUNS, WITHOUT, NOT = "yes", "`camera=false`", "no"  # what a cell of the table says


def outcome(family, folder, guidance):
    """The table's cell, and the sentence of a refusal."""
    given = [*FEW, f"prior={family}", f"prior.model={folder}", f"guidance={guidance}"]
    given += ["prior.resolution=16"] if family in MAKERS else []
    given += ["sigma=flow"] if family in FLOWS else []
    given += AROUND if family == "mvdream" else ["camera.views=2"]
    try:
        return RUNS, taken(given)
    except GsdError as error:
        sentence = str(error)
    if "set guidance.camera=false" not in sentence:
        return NOT, sentence
    taken([*given, "guidance.camera=false"])
    return WITHOUT, sentence


def taken(given):
    states = list(optimise(build(quick(*given))))
    assert len(states) == 2
    assert all(torch.isfinite(x).all() for state in states for x in (state.score.gradient, state.latents))
    assert states[1].score.gradient.any()  # at first a LoRA may say what the network does
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("family", [*OTHERS, *MAKERS])
def test_what_runs_is_what_the_table_says(family, tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pipeline"
    if family in MAKERS:
        random_family(family, folder)
    else:
        OTHERS[family](folder)
    found = {guidance: outcome(family, folder, guidance) for guidance in GUIDANCES}
    for guidance, (cell, sentence) in found.items():
        print(f"{family} x {guidance}: {cell} {sentence}")
    row = f"| `{family}` | {' | '.join(cell for cell, _ in found.values())} |"
    print(row)
    table = (ROOT / "docs" / "priors.md").read_text()
    assert f"| | {' | '.join(f'`{guidance}`' for guidance in GUIDANCES)} |" in table
    assert row in table
