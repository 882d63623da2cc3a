import pytest


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """No test sees the texts that another has had encoded."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
