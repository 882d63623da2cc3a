"""A real Ray of two nodes on this machine, one run's worker killed and one node taken away."""

import os
import signal

import pytest
from launch import SMALL, same, start, wait_for_a_run

pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="pip install -e '.[ray]'")


@pytest.fixture
def nodes(monkeypatch):
    """A head and a second node, of a core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster, cluster.add_node(num_cpus=1)
    cluster.shutdown()


@pytest.mark.slow
def test_runs_outlive_their_workers_and_nodes(tmp_path, nodes):
    cluster, second = nodes
    arguments = ["-m", *SMALL, "steps=400", "seed=range(4)", "name=sweep"]
    ray = ("hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster.address}")
    process = start(tmp_path, *arguments, *ray)
    sweep = tmp_path / "multirun/sweep"
    killed, pid = wait_for_a_run(sweep, process)
    os.kill(pid, signal.SIGKILL)
    wait_for_a_run(sweep, process)
    cluster.remove_node(second, allow_graceful=False)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "4 runs: 4 done." in out
    (tmp_path / "serial").mkdir()
    serial = start(tmp_path / "serial", *arguments)
    assert serial.communicate(timeout=240)
    assert serial.returncode == 0
    for folder in sweep.glob("*/DONE"):
        same(folder.parent, tmp_path / "serial/multirun/sweep" / folder.parent.name)
    assert (killed / "DONE").exists()
