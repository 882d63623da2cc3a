"""A run whose numbers are no more finite says what is left of it, and nothing else."""

import pytest
import torch
from launch import SMALL, launch

from gsd.errors import GsdError
from gsd.runner import recorder


def test_a_checkpoint_is_promised_where_there_is_one(tmp_path, monkeypatch):
    run = (*SMALL, "steps=4", "metric=none", "turntable.views=2")
    taken = []

    def rms(x, real=recorder._rms):
        taken.append(1)
        return real(x) * (torch.nan if len(taken) > healthy else 1)

    monkeypatch.setattr(recorder, "_rms", rms)
    for healthy, checkpoint in ((0, "There is no checkpoint yet"), (2, "The last good checkpoint is kept in")):
        taken.clear()
        with pytest.raises(GsdError, match=rf"score/gradient_rms is not finite .*{checkpoint}"):
            launch(tmp_path / str(healthy), *run, f"checkpoint_every={max(1, healthy)}")
        assert (tmp_path / f"{healthy}/checkpoint.pt").exists() == (healthy > 0)
