"""Weights that a download has cut off are found before anything is computed."""

import shutil

import pytest

from gsd.backend.checkpoint import TINY, check, loading
from gsd.errors import GsdError


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
@pytest.mark.parametrize("left", [0.0, 0.3, 0.999])
def test_weights_that_are_cut(tmp_path, part, left):
    folder = shutil.copytree(TINY, tmp_path / "tiny")
    assert check(folder) == folder
    (file,) = (folder / part).glob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    with pytest.raises(
        GsdError, match=rf"{part}/{file.name} cannot be loaded \(.*copy or download the checkpoint again"
    ):
        check(folder)


def test_what_a_library_says_is_one_line(tmp_path):
    with pytest.raises(GsdError, match=r"cannot be loaded \(a long story\)"), loading(tmp_path):
        raise RuntimeError("a\n long\n story.")
