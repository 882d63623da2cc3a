"""gsd from Python: what `import gsd` offers, without Hydra's global state, and with the command's bits."""

import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from launch import SMALL, records, same, shell
from omegaconf import OmegaConf

import gsd

FEW = (*SMALL, "steps=3", "noising=random", "metric=none")


def test_importing_gsd_imports_nothing_else():
    code = "import sys, gsd; print(sorted({'torch', 'hydra', 'numpy', 'yaml', 'omegaconf'} & sys.modules.keys()))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_what_is_offered_is_there_and_hides_no_module():
    modules = {module.name for module in pkgutil.iter_modules(gsd.__path__)}
    for name in gsd.__all__:
        assert getattr(gsd, name).__doc__, name
        assert name not in modules
    assert set(gsd.__all__) <= set(dir(gsd))
    with pytest.raises(AttributeError, match="no attribute 'evaluation'"):
        gsd.evaluation  # noqa: B018


def test_a_run_is_that_of_the_command_in_the_same_folder(tmp_path, monkeypatch):
    for name in ("shell", "python"):
        (tmp_path / name).mkdir()
    code, _, err = shell(tmp_path / "shell", *FEW)
    assert code == 0, err
    monkeypatch.chdir(tmp_path / "python")
    run = gsd.run(gsd.compose(*FEW))
    (command,) = (tmp_path / "shell").glob("outputs/*/*")
    assert run.path == command.relative_to(tmp_path / "shell")
    same(run.path, command)
    for name in ("config.yaml", "overrides.yaml", "choices.yaml"):
        assert (run.path / name).read_text() == (command / name).read_text()
    assert run.summary["prior_calls"] == 6


def test_a_config_can_be_changed_and_its_folder_follows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = gsd.compose(*FEW)
    one = gsd.run(cfg)
    assert gsd.run(cfg).path == one.path  # already done
    cfg.seed = 1
    other = gsd.run(cfg)
    assert one.path != other.path
    assert other.path.name == gsd.run(gsd.compose(*FEW, "seed=1")).path.name
    assert [row["seed"] for row in gsd.read("outputs").to_dicts()] == [0, 1]
    assert gsd.run(cfg, tmp_path / "own").path == tmp_path / "own"


def test_steps_can_be_taken_one_by_one(tmp_path):
    run = gsd.run(gsd.compose(*FEW), tmp_path / "run")
    states = list(islice(gsd.optimise(gsd.build(gsd.compose(*FEW))), 2))
    assert [float(state.sigma[0]) for state in states] == [record["sigma"] for record in run.records()[:2]]


def test_a_job_of_hydra_may_compose_and_run(tmp_path, monkeypatch):
    """Hydra's globals are the job's before and after."""

    (tmp_path / "app.yaml").write_text("x: 1\n")

    @hydra.main(version_base="1.2", config_path=str(tmp_path), config_name="app")
    def job(cfg):
        before = GlobalHydra.instance().hydra, HydraConfig.get(), VersionBase.instance().version_base
        gsd.run(gsd.compose(*FEW), tmp_path / "run")
        with pytest.raises(gsd.GsdError):
            gsd.compose("noising=nothing")
        after = GlobalHydra.instance().hydra, HydraConfig.get(), VersionBase.instance().version_base
        assert all(a is b for a, b in zip(before, after, strict=True))
        assert str(after[2]) == "1.2"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["app.py", "hydra/job_logging=none"])
    job()
    assert gsd.Run(tmp_path / "run").status == "done"


def test_threads_compose_and_run_side_by_side(tmp_path):
    def run(seed):
        return gsd.run(gsd.compose(*FEW, f"seed={seed}"), tmp_path / f"{seed}").path

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(4)))
    assert [gsd.Run(path).config["seed"] for path in together] == [0, 1, 2, 3]
    assert records(together[3]) == records(gsd.run(gsd.compose(*FEW, "seed=3"), tmp_path / "alone").path)


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(gsd.GsdError, match=r"noising=randm does not exist; .* did you mean random\?"):
        gsd.compose("noising=randm")
    with pytest.raises(gsd.GsdError, match="'noize' does not exist"):
        gsd.compose("noize.x=1")
    with pytest.raises(gsd.GsdError, match=r"which options were chosen; make it with gsd\.compose"):
        gsd.run(OmegaConf.create({"prompt": "an owl"}), tmp_path)


def test_a_table_is_easily_turned_into_rows(tmp_path):
    for seed in (1, 0):
        gsd.run(gsd.compose(*FEW, f"seed={seed}", "metric=[reprojection]"), tmp_path / f"{seed}")
    table = gsd.read(tmp_path)
    assert table.settings == ["seed"]
    rows = table.to_dicts()
    assert [(row["run"], row["status"], row["seed"]) for row in rows] == [("0", "done", 0), ("1", "done", 1)]
    assert all({"photometric_error", "seconds", "prior_calls", "commit"} <= row.keys() for row in rows)
    assert [row.path for row in table.rows] == [tmp_path / "0", tmp_path / "1"]
    assert gsd.read([tmp_path / "0", tmp_path / "1"]).to_dicts() == rows
