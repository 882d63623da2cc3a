import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gsd.noising.points.counter import normal, normal_torch

keys = st.integers(0, 2**63 - 1)


@settings(max_examples=30, deadline=None)
@given(keys, st.lists(st.integers(-(2**62), 2**62), max_size=40), st.integers(1, 9))
def test_kernel_equals_its_torch_twin(key, ids, channels):
    ids = torch.tensor(ids, dtype=torch.int64)
    fast, slow = normal(key, ids, channels), normal_torch(key, ids, channels)
    usual = slow.abs() < 5
    assert torch.allclose(fast[usual], slow[usual], atol=5e-6)
    assert torch.allclose(fast, slow, rtol=1e-3)


def test_values_depend_on_key_id_and_channel_alone():
    ids = torch.arange(1000)
    values = normal(5, ids, 4)
    order = torch.randperm(1000)
    assert torch.equal(normal(5, ids[order], 4), values[order])
    assert torch.equal(normal(5, ids, 7)[:, :4], values)
    assert not torch.equal(normal(6, ids, 4), values)


def test_values_are_standard_normal_and_independent():
    n = 250_000
    values = normal(1, torch.arange(n), 4)
    assert values.mean().abs() < 5 / (4 * n) ** 0.5
    assert (values.var() - 1).abs() < 5 * (2 / (4 * n)) ** 0.5
    assert stats.kstest(values.numpy().ravel(), "norm").pvalue > 1e-4
    assert abs(stats.kurtosis(values.numpy().ravel())) < 5 * (24 / (4 * n)) ** 0.5
    bound = 5 / n**0.5
    assert (torch.corrcoef(values.T) - torch.eye(4)).abs().max() < bound  # channels
    assert (values[1:] * values[:-1]).mean(0).abs().max() < bound  # neighbouring ids
    assert (values * normal(2, torch.arange(n), 4)).mean(0).abs().max() < bound  # neighbouring keys


def test_tails_are_there():
    largest = normal(3, torch.arange(2_000_000), 1).abs().max()
    assert 4.6 < largest < 6.5  # expected about 5.1 for 2e6 values


@pytest.mark.gpu
def test_cuda_equals_cpu():
    ids = torch.arange(5000)
    assert torch.allclose(normal(9, ids, 3), normal(9, ids.cuda(), 3).cpu(), atol=5e-6)
