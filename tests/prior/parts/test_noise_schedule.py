"""Schedulers of diffusers: which are read, as what, and which are not."""

import pytest
import torch

from gsd.errors import GsdError
from gsd.prior.parts.noise_schedule import BY_BETAS, noise_schedule

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("name", sorted(BY_BETAS))
def test_schedulers_with_betas_share_their_noise_levels(name):
    """From .0292 to 14.61, those of Stable Diffusion."""
    found = noise_schedule(BETAS | {"_class_name": name, "prediction_type": "v_prediction"}, "x")
    assert found.prediction == "v_prediction"
    assert found.log_sigmas[[0, -1]].exp().tolist() == pytest.approx([0.029168, 14.6146], rel=1e-4)


def test_each_of_them_is_one_of_diffusers_that_has_betas():
    import diffusers

    for name in BY_BETAS - {"DPMSolverSDEScheduler"}:  # which needs the package torchsde
        assert torch.equal(getattr(diffusers, name)(**BETAS).betas, diffusers.DDIMScheduler(**BETAS).betas), name


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": "FlowMatchEulerDiscreteScheduler"},
        {"_class_name": "FlowMatchHeunDiscreteScheduler"},
        {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
        {"_class_name": "DPMSolverMultistepScheduler", "prediction_type": "flow_prediction"},
    ],
)
def test_flows(config):
    found = noise_schedule(config, "x")
    assert found.prediction == "flow"
    assert found.step(torch.tensor([1.0])).tolist() == [500.0]


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"},
        {"_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "epsilon", "sigma_data": 0.5},
        {"_class_name": "VQDiffusionScheduler"},
        {"_class_name": "SCMScheduler", "prediction_type": "trigflow"},
        {"_class_name": "KarrasVeScheduler"},
        {"_class_name": "CogVideoXDDIMScheduler", "prediction_type": "v_prediction"},
        {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "sigma_max": 700.0},
    ],
)
def test_other_schedules_are_refused_by_name(config):
    with pytest.raises(GsdError, match=rf"prior.model=x was trained .* that of {config['_class_name']}.*; use a model"):
        noise_schedule(config, "x")
