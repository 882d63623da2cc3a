"""Banks: what they hold, and a cache that can be lost, harmed or shared without harm."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gsd.geometry import orbit
from gsd.menagerie import build_bank, load, trace, tracer

SMALL = {"resolution": 16, "variants": 2, "azimuths": 8, "elevations": (0.0, 30.0)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path))
    return tmp_path / "banks"


@pytest.fixture
def drawn(monkeypatch):
    """Counts the calls of the tracer."""
    calls = []
    monkeypatch.setattr(tracer, "trace", lambda *a, **k: calls.append(1) or trace(*a, **k))
    return calls


def test_images_match_their_labels(cache):
    owl = load()["owl"]
    bank = build_bank(owl, **SMALL)
    assert bank.shape == (2, 2, 8)
    assert bank.rgb.shape == (32, 3, 16, 16)
    for i in (0, 5, 13, 22, 31):
        full = torch.ones(1)
        cameras = orbit(bank.azimuth[[i]], bank.elevation[[i]], 2.2 * full, 40.0 * full, 16, 16)
        rgb = trace(owl.figure(int(bank.variant[i])), cameras).rgb[0]
        torch.testing.assert_close(bank.rgb[i] / 255, rgb, atol=0.51 / 255, rtol=0)
    assert set(bank.azimuth.tolist()) == {45.0 * i for i in range(8)}


def test_the_second_call_reads_the_cache(cache, drawn):
    first = build_bank(load()["owl"], **SMALL)
    assert len(drawn) == 2
    second = build_bank(load()["owl"], **SMALL)
    assert len(drawn) == 2
    assert torch.equal(first.rgb, second.rgb)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "change", [{"fov": 45.0}, {"distance": 2.5}, {"resolution": 17}, {"elevations": (0.0, 20.0)}, {"variants": 3}]
)
def test_other_parameters_are_other_banks(cache, drawn, change):
    build_bank(load()["owl"], **SMALL)
    before = len(drawn)
    build_bank(load()["owl"], **{**SMALL, **change})
    assert len(drawn) > before


def test_a_new_version_of_the_tracer_draws_anew(cache, drawn, monkeypatch):
    build_bank(load()["owl"], **SMALL)
    monkeypatch.setattr(tracer, "VERSION", tracer.VERSION + 1)
    build_bank(load()["owl"], **SMALL)
    assert len(drawn) == 4


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: b"",
        lambda content: content[:-7],
        lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
        lambda content: content + b"more",
        lambda content: b"\x80\x04garbage",
    ],
    ids=["empty", "truncated", "one bit", "too long", "garbage"],
)
def test_a_damaged_cache_is_rebuilt(cache, harm):
    good = build_bank(load()["owl"], **SMALL)
    (file,) = cache.iterdir()
    intact = file.read_bytes()
    file.write_bytes(harm(intact))
    assert torch.equal(build_bank(load()["owl"], **SMALL).rgb, good.rgb)
    assert file.read_bytes() == intact


def test_an_unwritable_cache_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "file"))
    assert build_bank(load()["owl"], **SMALL).rgb.shape == (32, 3, 16, 16)


def test_a_folder_in_the_place_of_the_file_leaves_no_litter(cache):
    good = build_bank(load()["owl"], **SMALL)
    (file,) = cache.iterdir()
    file.unlink()
    file.mkdir()
    assert torch.equal(build_bank(load()["owl"], **SMALL).rgb, good.rgb)
    assert list(cache.iterdir()) == [file]


def test_many_at_once_agree(cache):
    with ThreadPoolExecutor(4) as pool:
        banks = list(pool.map(lambda _: build_bank(load()["owl"], **SMALL), range(8)))
    assert all(torch.equal(bank.rgb, banks[0].rgb) for bank in banks)
    assert len(list(cache.iterdir())) == 1
