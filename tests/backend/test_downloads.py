"""What is downloaded of a repository on the hub: what its model_index.json names, and nothing of another kind."""

import shutil

import pytest
from families import random_family
from huggingface_hub.utils import filter_repo_objects
from pipelines import edit, random_controlnet, random_pipeline

from gsd.backend import checkpoint
from gsd.backend.pipeline_folder import locate_pipeline
from gsd.errors import GsdError
from gsd.prior.families import FAMILIES

STRAY = ("text_encoders/t5xxl.safetensors", "vae_1_0/model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors")


class Hub:
    """One repository, and a cache of this machine's."""

    def __init__(self, repository, cache, monkeypatch):
        self.repository, self.cache, self.fetched = repository, cache, []
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)

    def download(self, repository, local_files_only=False, allow_patterns=None, ignore_patterns=None):
        if local_files_only:
            if not self.cache.is_dir():
                raise OSError("not cached")
            return str(self.cache)
        names = [str(file.relative_to(self.repository)) for file in self.repository.rglob("*") if file.is_file()]
        wanted = filter_repo_objects(names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        self.fetched.append({name for name in wanted if not (self.cache / name).exists()})
        for name in self.fetched[-1]:
            (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.repository / name, self.cache / name)
        return str(self.cache)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An SD3 with what its authors have beside it."""
    random_family("sd3", tmp_path / "repository")
    for name in STRAY:
        (tmp_path / "repository" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "repository" / name).write_bytes(b"large")
    return Hub(tmp_path / "repository", tmp_path / "cache", monkeypatch)


def test_the_folders_that_the_index_names_are_downloaded(hub):
    pipeline = locate_pipeline("someone/sd3", None, FAMILIES)
    assert pipeline.folder == hub.cache
    index, rest = hub.fetched
    assert index == {"model_index.json"}
    assert {name.partition("/")[0] for name in rest} == set(pipeline.parts)
    assert "text_encoder_3" in pipeline.parts
    assert not rest & {*STRAY}
    locate_pipeline("someone/sd3", None, FAMILIES)
    assert len(hub.fetched) == 2  # found in the cache


def test_encoders_that_the_index_leaves_out_are_not_downloaded(hub):
    edit(hub.repository / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    assert "text_encoder_3" not in locate_pipeline("someone/sd3", None, FAMILIES).parts
    assert not [name for name in hub.fetched[1] if "_3/" in name]


def test_another_kind_costs_the_index_alone(hub):
    with pytest.raises(GsdError, match=r"StableDiffusion3Pipeline; .* and prior=sd3 reads this one"):
        checkpoint.locate("someone/sd3")
    edit(hub.repository / "model_index.json", _class_name="KolorsPipeline")
    (hub.cache / "model_index.json").unlink()
    with pytest.raises(GsdError, match="KolorsPipeline; gsd knows"):
        locate_pipeline("someone/sd3", None, FAMILIES)
    assert hub.fetched == [{"model_index.json"}] * 2


def test_stable_diffusion_is_downloaded_without_its_safety_checker(tmp_path, monkeypatch):
    random_pipeline(tmp_path / "repository", variant="fp16")
    edit(tmp_path / "repository" / "model_index.json", safety_checker=["stable_diffusion", "SafetyChecker"])
    (tmp_path / "repository" / "safety_checker").mkdir()
    (tmp_path / "repository" / "safety_checker" / "model.fp16.safetensors").write_bytes(b"large")
    hub = Hub(tmp_path / "repository", tmp_path / "cache", monkeypatch)
    checkpoint.locate("someone/sd", "fp16")
    assert {name.partition("/")[0] for name in hub.fetched[1]} == {*checkpoint.PARTS}


def test_deepfloyd_and_other_pipelines_without_latents_are_refused(tmp_path):
    random_pipeline(tmp_path)
    edit(tmp_path / "model_index.json", _class_name="IFPipeline", vae=None)
    with pytest.raises(GsdError, match=r"is a IFPipeline without vae; prior=stable_diffusion reads Stable Diffusion 1"):
        checkpoint.locate(str(tmp_path))


@pytest.mark.parametrize(("asked", "there"), [("fp16", None), (None, "fp16"), ("fp16", "fp16")])
def test_a_controlnet_comes_in_the_variant_that_there_is(tmp_path, monkeypatch, asked, there):
    random_controlnet(tmp_path / "repository", random_pipeline(tmp_path / "pipeline").unet, variant=there)
    hub = Hub(tmp_path / "repository", tmp_path / "cache", monkeypatch)
    assert checkpoint.locate_controlnet("someone/depth", asked) == (hub.cache, there)
    (weights,) = hub.cache.glob("*.safetensors")
    assert ("fp16" in weights.name) == (there == "fp16")


def test_a_controlnet_that_cannot_be_had_is_refused_in_one_sentence(tmp_path, monkeypatch):
    def offline(repository, **options):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(GsdError, match=r"someone/depth is not on this machine .*\(no network\); run once") as refused:
        checkpoint.locate_controlnet("someone/depth", "fp16")
    assert str(refused.value).count("not on this machine") == 1
