"""PyTorch's Adam, without loading its compiler."""

from __future__ import annotations

from inspect import unwrap

import torch


class Adam(torch.optim.Adam):
    """torch.optim.Adam, bit for bit, without the wrappers for `torch.compile`.

    Each wrapper imports the compiler when it is first called, which is a quarter of a run's start-up time.
    """

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
