"""Runs side by side: which GPU each of them sees."""

import os
import sys
import time

import pytest
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from gsd.backend.device import visible_gpus
from gsd.cli.folders import CONF
from gsd.config import register

RUN_S = 0.5


def seen(cfg):
    """In place of a run: what CUDA would be told, and for how long the run was there."""
    began = time.time()
    time.sleep(RUN_S)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.time()


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """What runs with these overrides see, in processes of their own, on a machine whose GPUs are 4 and GPU-7."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    import cloudpickle

    from gsd.tools.sweep import side_by_side

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(CONF)))

    def launch(runs, *overrides, **options):
        cfg = loader.load_configuration(
            "config", ["hydra/launcher=joblib", f"hydra.sweep.dir={tmp_path}", *overrides], RunMode.MULTIRUN
        )
        launcher = side_by_side.SideBySide(**options)
        launcher.setup(hydra_context=HydraContext(loader, Callbacks(cfg)), task_function=seen, config=cfg)
        return [job.return_value for job in launcher.launch([[each] for each in runs], 0)]

    yield launch
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.program
def test_runs_side_by_side_have_a_gpu_each(launched):
    *runs, named = launched(["seed=0", "seed=1", "seed=2", "device=cuda:1"], "device=cuda")
    assert {gpu for gpu, *_ in runs} == {"4", "GPU-7"}
    for gpu, began, ended in runs:  # no two on one GPU at a time
        assert all(gpu != other or end <= began or start >= ended for other, start, end in runs if start != began)
    assert named[0] == "4,GPU-7"
    ((cpu, *_),) = launched(["seed=0"], "device=cpu")
    assert cpu == "4,GPU-7"


def test_the_gpus_of_this_process(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for named, gpus in (("3,MIG-a,5", ["3", "MIG-a"]), ("", ["0", "1"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert visible_gpus() == gpus


def test_a_task_of_ray_takes_a_gpu_where_its_run_does():
    register()
    ray = OmegaConf.load(CONF / "hydra/launcher/ray.yaml")
    for device, gpus in (("cuda", 1), ("cpu", 0)):
        assert OmegaConf.create({"device": device, "launcher": ray}).launcher.ray.remote.num_gpus == gpus
