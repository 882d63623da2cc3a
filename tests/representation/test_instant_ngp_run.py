"""A radiance field through the whole program: the paper's recipe with every loss that it has."""

import json

import pytest
import torch
from launch import SMALL, crash, launch, records

from gsd.results.folder import RunFolder
from gsd.results.scene import load

FIELD = (
    *SMALL,
    "representation=instant_ngp",
    "representation.levels=4",
    "representation.log2_table=10",
    "representation.hidden=8",
    "representation.samples=24",
    "representation.occupancy_cells=12",
    "representation.occupancy_every=3",
    "representation.active_levels={kind: linear, start: 2, end: 4, begin: 0, until: 8}",
    "representation.background=environment",
    "representation.normals=analytic",
    "noising=consistent",
    "loss=[consistency,orient,opaque,sparsity]",
)


def test_stopped_and_continued_equals_undisturbed(tmp_path, monkeypatch):
    straight = launch(tmp_path / "straight", *FIELD, "steps=10")
    for name in ("turntable.mp4", "turntable.png", "summary.json", "checkpoint.pt", "DONE"):
        assert (straight / name).exists(), name
    for record in records(straight):
        assert {"loss/orient", "instant_ngp/samples", "instant_ngp/occupied"} <= record.keys()
    mend = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError, match="plug"):
        launch(tmp_path / "broken", *FIELD, "steps=10")
    mend()
    broken = launch(tmp_path / "broken", *FIELD, "steps=10")
    assert records(straight) == records(broken)
    one, other = (RunFolder(x).load_checkpoint()["representation"] for x in (straight, broken))
    assert all(torch.equal(one["params"][k], other["params"][k]) for k in one["params"])
    assert torch.equal(one["occupancy"], other["occupancy"])
    from_folder, _ = load(straight, 0, torch.device("cpu"))
    assert len(from_folder.scene().points) == 150  # the cloud that noisings see comes back without its init
    assert torch.equal(from_folder.scene().points, one["points"])
    a, b = (json.loads((x / "summary.json").read_text())["psnr_aligned"] for x in (straight, broken))
    assert a == b
