"""What belongs to a run's identity and what does not, without running anything."""

import itertools
import json
import os

import pytest
from launch import config
from quick_config import quick

from gsd.backend import digests
from gsd.identity import identity, of_settings, signature


def settings(**values):
    return {"prior": {"_target_": "a.B", **values}}


def of(values, device="cpu"):
    return of_settings(settings(**values), device)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (12, 12.0, True),
        (1e-3, 0.001, True),
        ([0, 60.0], [0.0, 60], True),
        ({"kind": "step", "at": [3.0]}, {"at": [3], "kind": "step"}, True),
        (float("nan"), float("nan"), True),
        (1, True, False),
        (0.0, False, False),
        (12, "12", False),
        (None, "null", False),
        (2**53, float(2**53 + 2), False),
    ],
)
def test_numbers_are_what_they_are_worth(one, other, equal):
    a, b = of({"x": one}), of({"x": other})
    assert (a.signature == b.signature) is equal
    assert (a.unlike(b) == {}) is equal


def test_the_command_line_makes_numbers_of_either_kind():
    a, b, c = (signature(config(f"camera.delta_deg={text}")) for text in ("9", "9.0", "9.5"))
    assert a == b != c


def test_the_device_counts_by_its_kind_and_auto_by_what_it_makes_of_it():
    autos = [("dtype", "fp32", "auto"), ("backend", "cpu", "auto")]  # on a GPU the prior and the compiler decide
    autos += [("compile", False, True), ("channels_last", False, True)]
    for key, here, there in autos:
        auto, cuda = of({key: "auto"}), of({key: "auto"}, "cuda")
        assert auto.signature == of({key: here}).signature
        assert cuda.signature == of({key: there}, "cuda").signature
        assert cuda.unlike(auto) == {
            "device": "cpu -> cuda",
            f"prior.{key}": f"{json.dumps(here)} -> {json.dumps(there)}",
        }
    one, other, cpu = (identity(quick(f"device={name}")).signature for name in ("cuda:0", "cuda:1", "cpu"))
    assert one == other != cpu


def test_files_count_by_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"one")
    (tmp_path / "copy.npz").write_bytes(b"one")
    first = of({"where": "a.npz"})
    assert first.signature == of({"where": str(tmp_path / "copy.npz")}).signature
    assert of({"where": "copy.npz"}).unlike(first) == {}
    (tmp_path / "a.npz").write_bytes(b"two")
    assert of({"where": "a.npz"}).unlike(first) == {"prior.where": 'the content of "a.npz" has changed'}
    (tmp_path / "a.npz").unlink()
    assert of({"where": "a.npz"}).unlike(first) == {"prior.where": '"a.npz" is not there any more'}
    several = of({"where": {"all": ["copy.npz"]}})
    (tmp_path / "copy.npz").write_bytes(b"three")
    assert "prior.where.all.0" in of({"where": {"all": ["copy.npz"]}}).unlike(several)


def test_folders_of_weights_count_by_all_that_is_read_of_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, model = tmp_path / "store", tmp_path / "models" / "mine"
    for name in ("unet/weights.safetensors", "unet/config.json"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(name)
    model.mkdir(parents=True)
    (model / "model_index.json").write_text("{}")
    (model / "unet").symlink_to(store / "unet")
    (model / "again").symlink_to(model)  # a circle
    first = of({"model": "models/mine"})
    (model / "README.md").write_text("what it is")
    (model / ".cache").mkdir()
    (model / ".cache" / "x.json").touch()
    assert of({"model": "models/mine"}).signature == first.signature
    (store / "unet/weights.safetensors").write_text("others")
    said = of({"model": "models/mine"}).unlike(first)["prior.model"]
    assert said == 'the content of unet/weights.safetensors in "models/mine" has changed'


def test_words_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = [identity(config(*o)).signature for o in ([], ["prompt=cat"], ["prompting.negative=cat"])]
    hub = of({"model": "them/model"}).signature
    (tmp_path / "cat").write_text("a file")
    (tmp_path / "them").mkdir()
    (tmp_path / "torch").mkdir()
    (tmp_path / "a.json").touch()
    assert of({"x": [".", "/", "..", "~"]}).files == {}
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "0.PNG").touch()
    assert of({"x": ["views"]}).files == {"prior.x.0": {"0.PNG": digests._computed(tmp_path / "a.json")}}
    assert plain == [identity(config(*o)).signature for o in ([], ["prompt=cat"], ["prompting.negative=cat"])]
    assert hub == of({"model": "them/model"}).signature
    assert of({"x": "torch"}).files == {}


def test_what_comes_with_gsd_counts_too(monkeypatch, tmp_path):
    before = identity(config("prior=tiny"))
    assert "unet/diffusion_pytorch_model.safetensors" in before.files["prior.model"]
    assert "open_clip_model.safetensors" in identity(config("metric=[clip_score]")).files["metric.clip_score.model"]


def test_large_files_are_read_again_when_they_change(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LARGE", 4)
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**12))
    count, real = itertools.count(), digests._computed
    monkeypatch.setattr(digests, "_computed", lambda file: (next(count), real(file))[1])
    file = tmp_path / "large.npz"
    file.write_bytes(b"content")
    first = digests.digests(file)
    assert digests.digests(file) == first
    assert next(count) == 1  # read once
    times = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as cp -p and rsync leave it
    assert digests.digests(file) != first
    for damaged in (tmp_path / "cache").rglob("*.bin"):
        damaged.write_bytes(b"nonsense")
    assert digests.digests(file) == {"": real(file)}
