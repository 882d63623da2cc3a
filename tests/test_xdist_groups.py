"""Tests that share a fixture are a group of pytest-xdist, and pytest-xdist is told so."""

import pytest


@pytest.fixture(scope="module")
def shared():
    return object()


def test_who_shares_a_fixture_is_in_the_group_of_its_file(shared, request):
    (mark,) = request.node.iter_markers("xdist_group")
    assert mark.args == ("tests/test_xdist_groups.py",)
    if request.config.getoption("loadgroup", False):  # in a worker of pytest-xdist
        assert request.node.nodeid.endswith("@tests/test_xdist_groups.py")


def test_who_shares_none_is_in_no_group(request):
    assert not list(request.node.iter_markers("xdist_group"))
    assert "@" not in request.node.nodeid
