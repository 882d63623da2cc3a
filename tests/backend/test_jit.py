"""The shared numba set-up."""

import ast
import logging
import subprocess
import sys
from pathlib import Path

from gsd.backend import jit


def test_importing_does_not_import_numba():
    code = "import sys, gsd.backend.jit; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("GSD_CACHE", str(tmp_path))
    assert jit.cache_dir().parent == tmp_path / "numba"
    assert jit.cache_dir().is_dir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert jit.cache_dir() == tmp_path / "mine"


def test_what_kernels_take_numbers_from_is_in_the_fingerprint():
    """A constant that changes makes new kernels, since its file says njit too."""
    package = Path(jit.__file__).parents[1]
    kernels = [text for path in package.rglob("*.py") if "\n@njit" in (text := path.read_text())]
    imported = [line for text in kernels for line in ast.parse(text).body if isinstance(line, ast.ImportFrom)]
    sources = {line.module for line in imported if any(each.name.isupper() for each in line.names)}
    assert {"gsd.rasterizer.layout", "gsd.rasterizer.simd"} <= sources
    for module in sources:
        if module.startswith("gsd."):
            assert "njit" in (package.parent / f"{module.replace('.', '/')}.py").read_text(), module


def test_a_folder_that_cannot_be_written_is_replaced(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "file"))
    assert str(tmp_path) not in str(jit.cache_dir())


def test_the_first_compilation_is_announced_once(tmp_path):
    kernel = tmp_path / "gsd_kernel.py"
    kernel.write_text(
        "import logging; logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "__name__ = 'gsd.fake'\n"
        "from gsd.backend.jit import njit\n"
        "@njit\ndef f(x): return x + 1\n"
        "@njit(cache=False)\ndef g(x): return x + 2\n"
        "assert f(1) == 2 and g(1) == 3\n"
    )
    run = subprocess.run(
        [sys.executable, str(kernel)], capture_output=True, text=True, check=True, cwd=Path(jit.__file__).parents[2]
    )
    assert run.stderr.count("compiling the CPU kernels") == 1


def test_options_override_the_defaults(caplog):
    caplog.set_level(logging.INFO, "gsd")

    @jit.njit(cache=False)
    def half(x):
        return x / 2

    assert half(3.0) == 1.5
    assert half.targetoptions["nogil"]
    assert half.targetoptions["fastmath"] == set(jit.FASTMATH)
