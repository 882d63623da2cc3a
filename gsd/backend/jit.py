"""One set-up of numba for every compiled kernel of the project.

numba is imported when the first kernel is defined, not when this module is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsd.backend.notice import notice

# NaN tests must stay valid (no "nnan"), everything else that lets LLVM vectorise sums is allowed.
FASTMATH = frozenset({"contract", "reassoc", "arcp", "nsz"})


def cache_dir() -> Path:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else a folder in $GSD_CACHE/numba or the user's cache folder.

    A folder that cannot be written (a read-only home in a container) is replaced by one under the temporary folder.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("GSD_CACHE")
    if not base:
        from platformdirs import user_cache_dir

        base = user_cache_dir("gsd", appauthor=False)
    folder = Path(base) / "numba" / _fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        owner = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"gsd-numba-{owner}" / _fingerprint()


def _fingerprint() -> str:
    """Eight hex digits of every source that takes part in a kernel; each of them says njit somewhere.

    numba looks at the file a kernel is in, not at those its helpers and constants are in, and would go on with stale
    ones.
    """
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source:
            digest.update(source)
    return digest.hexdigest()


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`numba.njit` as the project uses it: without the GIL, cached on disk, numpy's error model, safe fast maths.

    Usable bare or with arguments, which override the defaults.
    """
    numba = _numba()
    settings = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": set(FASTMATH), **options}
    decorate = numba.njit(**settings)
    return decorate if function is None else decorate(function)


_configured: list[Any] = []  # the numba module once it is set up


def _numba() -> Any:
    if _configured:
        return _configured[0]
    folder = str(cache_dir())
    os.environ["NUMBA_CACHE_DIR"] = folder  # numba reads its configuration from the environment, again and again
    import numba
    from numba.core import event

    numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]  # for a numba that was imported before us

    class Notice(event.Listener):
        """Tells the user, once per process, why the first call takes seconds."""

        told = False

        def on_start(self, event: Any) -> None:
            dispatcher = event.data.get("dispatcher")
            module = getattr(getattr(dispatcher, "py_func", None), "__module__", "") or ""
            if self.told or module.partition(".")[0] != "gsd":
                return
            self.told = True
            notice(f"compiling the CPU kernels, once; they are kept in {folder}")

        def on_end(self, event: Any) -> None:
            """Nothing to say."""

    event.register("numba:compile", Notice())
    _configured.append(numba)
    return numba
