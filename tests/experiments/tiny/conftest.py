import os
import signal
from contextlib import contextmanager

import pytest

from gsd.backend.torchvision_mend import mend_torchvision


@pytest.fixture
def mended():
    """Before a script is imported that imports diffusers or open_clip."""
    mend_torchvision()


@pytest.fixture
def terminated(mended, monkeypatch):
    """terminated(steps): inside, the process is told to end at these steps of trainings, by name."""
    import training

    update = training.Training._update

    @contextmanager
    def terminated(**steps):
        def interrupted(self, loss):
            if steps.get(self.name) == self.step:
                os.kill(os.getpid(), signal.SIGTERM)
            return update(self, loss)

        with monkeypatch.context() as patch:
            patch.setattr(training.Training, "_update", interrupted)
            yield

    return terminated


@pytest.fixture
def few_images(mended, monkeypatch):
    """A world of 20 creatures x 2 elevations x 4 azimuths."""
    import prior_data
    import training

    for name, value in {"VARIANTS": 1, "ELEVATIONS": (0.0, 50.0), "LEVEL": 1, "AZIMUTHS": 4}.items():
        monkeypatch.setattr(prior_data, name, value)
    monkeypatch.setattr(training, "LOG_STEPS", 2)
