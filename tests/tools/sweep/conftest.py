import pytest
from cluster import Cluster, missing


@pytest.fixture(scope="module")
def cluster():
    """A Slurm that runs; skipped where there is none, or no launcher for it."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install -e '.[cluster]'")
    if missing():
        pytest.skip(missing())
    with Cluster() as running:
        yield running
