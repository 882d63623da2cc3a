import pytest
from worlds import exact, network, tiny


@pytest.fixture(scope="session", params=["exact", "epsilon", "tiny"])
def world(request, tmp_path_factory):
    """The menagerie in closed form, a random network that predicts noise, and a trained one that predicts velocity."""
    if request.param == "exact":
        return exact()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GSD_CACHE", str(tmp_path_factory.mktemp("cache")))
        return tiny() if request.param == "tiny" else network(tmp_path_factory.mktemp("network"))
