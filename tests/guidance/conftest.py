import pytest
from worlds import exact, network


@pytest.fixture(scope="session", params=["exact", "epsilon", "v_prediction"])
def world(request, tmp_path_factory):
    """The menagerie in closed form, and networks that predict noise or velocity."""
    if request.param == "exact":
        return exact()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GSD_CACHE", str(tmp_path_factory.mktemp("cache")))
        return network(tmp_path_factory.mktemp(request.param), request.param)
