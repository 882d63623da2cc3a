"""One set-up of numba for every compiled kernel of the project.

numba is imported when the first kernel is defined, not when this module is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from gsd.backend.cache import cache_folder
from gsd.backend.notice import notice

# NaN tests must stay valid (no "nnan"), everything else that lets LLVM vectorise sums is allowed.
FASTMATH = frozenset({"contract", "reassoc", "arcp", "nsz"})
ROOM = 2**20  # bytes that a folder for kernels must have left


def cache_dir() -> Path | None:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else a folder in $GSD_CACHE/numba or the user's cache folder.

    A folder that cannot be written (a read-only home in a container, a full disk) is replaced by one under the
    temporary folder, if that is this user's alone: what is read from it is executed. None: nowhere.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else cache_folder() / "numba" / _fingerprint()
    if _writable(folder):
        return folder
    private = Path(tempfile.gettempdir()) / f"gsd-numba-{os.getuid()}"
    return (
        private / _fingerprint() if not chosen and _is_ours(private) and _writable(private / _fingerprint()) else None
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
            file.flush()
            return True
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Whether no other user can have put anything there. It is made if it is not there."""
    with suppress(OSError):
        folder.mkdir(mode=0o700)
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022


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


def njit(function: Callable[..., Any] | None = None, *, cache: bool = True, **options: Any) -> Any:
    """`numba.njit` as the project uses it: without the GIL, cached on disk, numpy's error model, safe fast maths.

    Usable bare or with arguments, which override the defaults.
    """
    if function is None:
        return partial(njit, cache=cache, **options)
    numba, folder = _set_up()
    settings = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH), **options}
    kernel = numba.njit(**settings)(function)
    if cache and folder is not None:
        from gsd.backend.kernel_cache import KernelCache

        with suppress(OSError, RuntimeError):  # a disk that has become full
            kernel._cache = KernelCache(function)
    return kernel


@cache
def _set_up() -> tuple[Any, Path | None]:
    """numba, and the folder of compiled kernels."""
    folder = cache_dir()
    if folder is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(folder)  # numba reads its configuration from the environment, repeatedly
    import numba
    from numba.core import event

    if folder is not None:
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]  # for a numba that was imported before us

    class Notice(event.Listener):
        """Tells the user, once per process, why the first call takes seconds."""

        told = False

        def on_start(self, event: Any) -> None:
            dispatcher = event.data.get("dispatcher")
            module = getattr(getattr(dispatcher, "py_func", None), "__module__", "") or ""
            if self.told or module.partition(".")[0] != "gsd":
                return
            self.told = True
            kept = (
                f"once; they are kept in {folder}" if folder else "for this run alone: no cache folder can be written"
            )
            notice(f"compiling the CPU kernels, {kept}")

        def on_end(self, event: Any) -> None:
            """Nothing to say."""

    event.register("numba:compile", Notice())
    return numba, folder
