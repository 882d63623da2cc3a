import pytest
from forked import take_over


@pytest.fixture(scope="module", autouse=True)
def _forks():
    with pytest.MonkeyPatch.context() as patch:
        take_over(patch)
        yield
