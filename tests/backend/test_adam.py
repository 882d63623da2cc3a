import subprocess
import sys

import pytest
import torch

from gsd.backend.adam import Adam


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"weight_decay": 0.1, "amsgrad": True}])
def test_steps_and_states_are_pytorchs_to_the_bit(options):
    def fifty_steps(cls):
        generator = torch.Generator().manual_seed(0)
        params = [torch.zeros(7, 3, requires_grad=True), torch.ones(5, requires_grad=True)]
        groups = [{"params": [p], "lr": lr} for p, lr in zip(params, (0.1, 0.02), strict=True)]
        optimizer = cls(groups[:1], betas=(0.9, 0.99), **options)
        optimizer.add_param_group(groups[1])
        for step in range(50):
            for param in params:
                param.grad = torch.randn(param.shape, generator=generator)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step == 25:
                state = optimizer.state_dict()
                optimizer = cls([{"params": [p]} for p in params], **options)
                optimizer.load_state_dict(state)
        assert all(param.grad is None for param in params)
        return params, optimizer.state_dict()

    ours, theirs = fifty_steps(Adam), fifty_steps(torch.optim.Adam)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert all(p.requires_grad for p in ours[0])


def test_the_compiler_is_not_loaded():
    code = """
import sys, torch
from gsd.backend.adam import Adam
param = torch.zeros(3, requires_grad=True)
optimizer = Adam([param])
param.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
