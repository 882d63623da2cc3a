"""The trainings of the small models on next to nothing."""

import os
import signal

import pytest
import training

from gsd.backend.torchvision_mend import mend_torchvision


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    mend_torchvision()
    monkeypatch.setattr(training, "LOG_STEPS", 2)


@pytest.fixture
def same_bits(call, tmp_path, monkeypatch):
    """Trains straight through and with a signal at each of some (stage, step), and compares these files of the models.

    Returns both --out folders; the models lie in model/ below them.
    """

    def run(main, stops, files, *arguments):
        straight, broken = tmp_path / "straight", tmp_path / "broken"
        call(main, "--out", straight, "--to", straight / "model", *arguments)
        update = training.Training._update

        def interrupted(self, loss):
            if (self.name, self.step) in stops:
                os.kill(os.getpid(), signal.SIGTERM)
            return update(self, loss)

        with monkeypatch.context() as patch:
            patch.setattr(training.Training, "_update", interrupted)
            for stage, step in stops:
                with pytest.raises(SystemExit, match=f"stopped at step {step + 1} of {stage}"):
                    call(main, "--out", broken, "--to", broken / "model", *arguments)
                assert not (broken / "model").exists()
        call(main, "--out", broken, "--to", broken / "model", *arguments)
        for file in files:
            assert (straight / "model" / file).read_bytes() == (broken / "model" / file).read_bytes()
        assert (broken / "curve.png").exists()
        return straight, broken

    return run
