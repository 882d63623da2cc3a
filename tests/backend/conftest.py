import subprocess

import pytest


@pytest.fixture
def full_disk(tmp_path):
    place = tmp_path / "full"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    (place / "filling").write_bytes(bytes(4096))
    yield place
    subprocess.run(["umount", str(place)], check=True)
