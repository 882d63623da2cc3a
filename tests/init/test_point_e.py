"""What does not need the package point_e is tested everywhere, its own sampler where the package is installed."""

import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from launch import SMALL, config, launch, same
from PIL import Image
from pretrained import random_clip, random_point_e

from gsd.backend.images import png
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.init import point_e
from gsd.init.parts.picture import Picture
from gsd.init.parts.point_e_clip import PointEClip
from gsd.init.point_e import PointE, _load
from gsd.prior.menagerie import Menagerie
from gsd.random import Stream
from gsd.tools import init as tool
from gsd.types import Context, PointCloud

CPU, RNG = torch.device("cpu"), Stream(0, "init")
with_package = pytest.mark.skipif(find_spec("point_e") is None, reason="needs the package point_e")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))


def small(folder, **options):
    return PointE(Context("a corgi"), weights=str(folder), clip=str(folder / "clip"), sampling_steps=4, **options)


def picture(path, size=(20, 30)):
    Image.new("RGBA", size, (200, 30, 60, 128)).save(path)
    return str(path)


@with_package
@pytest.mark.parametrize("upsample", [True, False])
def test_text_to_points(tmp_path, monkeypatch, upsample):
    random_point_e(tmp_path, monkeypatch)
    cloud = small(tmp_path, upsample=upsample)(RNG)
    assert cloud.xyz.shape == cloud.rgb.shape == (256 if upsample else 64, 3)
    assert cloud.xyz.unique(dim=0).shape[0] > 50
    assert ((cloud.rgb >= 0) & (cloud.rgb <= 1)).all()
    state = torch.get_rng_state()
    other = small(tmp_path, upsample=upsample)(Stream(1, "init"))
    assert torch.equal(state, torch.get_rng_state())  # a run's other random numbers do not depend on it
    assert not torch.equal(other.xyz, cloud.xyz)
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "another cache"))
    assert torch.equal(small(tmp_path, upsample=upsample)(RNG).xyz, cloud.xyz)


@with_package
def test_prompt_and_image_are_heard(tmp_path, monkeypatch):
    random_point_e(tmp_path, monkeypatch)
    corgi, owl = (
        small(tmp_path)(RNG),
        PointE(Context("an owl"), weights=str(tmp_path), clip=str(tmp_path / "clip"), sampling_steps=4)(RNG),
    )
    assert not torch.equal(corgi.xyz, owl.xyz)
    red = small(tmp_path, model="base40M", image=picture(tmp_path / "red.png"))(RNG)
    assert red.xyz.shape == (256, 3)
    Image.new("RGB", (16, 16), "blue").save(tmp_path / "blue.png")
    blue = small(tmp_path, model="base40M", image=str(tmp_path / "blue.png"))(RNG)
    assert not torch.equal(red.xyz, blue.xyz)


@with_package
def test_the_prior_s_picture_is_heard(tmp_path, monkeypatch):
    random_point_e(tmp_path, monkeypatch)
    init = small(tmp_path, model="base40M", image="auto", picture=Picture(resolution=32))
    init.ask(Menagerie(Context("a corgi"), variants=1, azimuths=12, elevations=(15.0,)))
    cloud = init(RNG)
    (tmp_path / "start.png").write_bytes(png(init.picture))
    of_file = small(tmp_path, model="base40M", image=str(tmp_path / "start.png"))
    assert torch.equal(of_file(RNG).xyz, cloud.xyz)
    assert not torch.equal(of_file(RNG).xyz, small(tmp_path)(RNG).xyz)


@with_package
def test_wrong_weights_are_refused(tmp_path, monkeypatch):
    random_point_e(tmp_path, monkeypatch)
    torch.save({"a": torch.zeros(2)}, tmp_path / "base_40m_textvec.pt")
    with pytest.raises(GsdError, match=r"base_40m_textvec.pt does not hold Point-E's weights"):
        small(tmp_path)(RNG)


def test_a_kept_cloud_needs_neither_package_nor_weights(tmp_path, monkeypatch):
    cloud = PointCloud(torch.rand(9, 3), torch.rand(9, 3))
    with monkeypatch.context() as patch:
        patch.setattr(PointE, "_locate", lambda _: None)
        patch.setattr(PointE, "_sample", lambda *_: cloud)
        first = small(tmp_path)(RNG)
    monkeypatch.setattr(point_e, "find_spec", lambda _: None)
    assert torch.equal(small(tmp_path)(RNG).xyz, first.xyz)
    for other in ({"guidance_scale": 4.0}, {"upsample": False}):
        with pytest.raises(
            GsdError,
            match=r"pip install --no-deps git\+https.*@[0-9a-f]{40}, or start with init=shap_e.* The weights .*",
        ):
            small(tmp_path, **other)  # all that is missing
    with pytest.raises(GsdError, match="pip install"):
        small(tmp_path)(Stream(1, "init"))


def test_options_that_do_not_fit_together(tmp_path):
    image = picture(tmp_path / "red.png")
    with pytest.raises(GsdError, match=r"reads the prompt, not an image; add init.model=base1B"):
        PointE(Context("a corgi"), image=image)
    with pytest.raises(GsdError, match=r"reads the prompt, not an image; add init.model=base1B"):
        PointE(Context("a corgi"), image="auto")
    with pytest.raises(GsdError, match=r"add init.image=FILE or init.image=auto"):
        PointE(Context("a corgi"), model="base1B")
    with pytest.raises(GsdError, match="no such file"):
        PointE(Context("a corgi"), model="base1B", image=str(tmp_path / "absent.png"))
    (tmp_path / "noise.png").write_bytes(b"no picture")
    with pytest.raises(GsdError, match="not a readable picture"):
        point_e._opened(tmp_path / "noise.png")


def test_transparent_pictures_lie_on_white(tmp_path):
    shown = point_e._opened(tmp_path / picture(tmp_path / "red.png"))
    assert shown.getpixel((3, 3)) == pytest.approx((227, 142, 157), abs=1)


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    file = tmp_path / "weights.pt"
    for written in (lambda: torch.save({"a": Evil()}, file), lambda: file.write_bytes(pickle.dumps(Evil()))):
        written()
        (tmp_path / "was here").unlink(missing_ok=True)
        with pytest.raises(GsdError, match="does not hold Point-E's weights"):
            _load(torch.nn.Linear(2, 2), file)
        assert not (tmp_path / "was here").exists()


def test_clip_answers_as_transformers_does(tmp_path):
    model, clip = random_clip(tmp_path), PointEClip(tmp_path, CPU)
    texts = ["a corgi", "an owl with " + "very " * 40 + "big eyes"]
    tokens = clip.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        features = model.get_text_features(**tokens).pooler_output
    assert torch.allclose(clip(2, texts=texts), features / features.norm(dim=-1, keepdim=True), atol=1e-6)
    given = torch.randn(4, 16)
    assert torch.equal(clip(4, embeddings=given), given)
    assert (clip.feature_dim, clip.grid_size, clip.grid_feature_dim) == (16, 4, 24)
    grid = clip.embed_images_grid([Image.new("RGB", (40, 20), "red"), Image.new("RGB", (16, 16))])
    assert grid.shape == (2, 24, 16)


def test_pictures_are_prepared_as_clip_does(tmp_path):
    from torchvision import transforms

    from gsd.init.parts.point_e_clip import MEAN, STD

    random_clip(tmp_path)
    gradient = Image.linear_gradient("L").resize((50, 33)).convert("RGB")
    theirs = transforms.Compose(
        [
            transforms.Resize(16, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(16),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    assert torch.allclose(PointEClip(tmp_path, CPU)._pixels(gradient), theirs(gradient), atol=1e-5)


AUTO = ("init=point_e", "init.model=base1B", "init.image=auto", "init.upsample=false", "init.picture.resolution=32")
BANK = ("prior.variants=1", "prior.azimuths=12", "metric=none")
RUN = (*(o for o in SMALL if not o.startswith("init.")), *BANK, "steps=2", "turntable.views=2", *AUTO)


def stand_in(init, rng):
    """In the place of Point-E: the object's pixels, as points on a plane with their colours."""
    shown = torch.from_numpy(np.array(init._shown(), np.float32) / 255)
    y, x = (shown.amin(-1) < 0.9).nonzero().T
    place = torch.stack([x / 32 - 0.5, torch.zeros(len(x)), 0.5 - y / 32], 1)
    return PointCloud(place.float(), shown[y, x])


def test_a_run_starts_from_its_own_prior_s_picture(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(PointE, "_locate", lambda _: None)
        patch.setattr(PointE, "_sample", stand_in)
        launch(tmp_path / "one", *RUN, "particles=2")
        tool._run([*RUN], tmp_path / "cat.npz")
    picture = Image.open(tmp_path / "one" / "start.png")
    assert (picture.mode, picture.size) == ("RGBA", (32, 32))
    alpha = np.array(picture)[..., 3] / 255
    assert 0.02 < alpha.mean() < 0.6
    assert (tmp_path / "cat.png").read_bytes() == (tmp_path / "one" / "start.png").read_bytes()
    cloud = np.load(tmp_path / "cat.npz")
    assert len(cloud["xyz"]) == pytest.approx(alpha.sum(), rel=0.1)
    assert (tmp_path / "one" / "particle_1" / "start.png").exists()
    # Once made, a start needs neither Point-E nor the prior's picture; another prior's is another one
    monkeypatch.setattr("gsd.init.parts.picture.draw", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr(point_e, "find_spec", lambda _: None)
    same(launch(tmp_path / "again", *RUN, "particles=2"), tmp_path / "one")
    with pytest.raises(GsdError, match="pip install --no-deps"):
        build(config(*RUN, "prior.view_bias=3"))
