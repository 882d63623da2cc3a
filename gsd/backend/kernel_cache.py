"""numba's cache of compiled kernels, with checksums: what is damaged is compiled again.

numba reads its files as they are, so that a truncated index is a traceback for ever and a flipped bit is executed.
Here both files of a kernel, .nbi and .nbc, are those of `gsd.backend.cache`. Code also says which call it is for: two
processes that start with an empty cache may give their code the same name.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserProvidedCacheLocator

from gsd.backend.cache import complain, read, write


class KernelCache(FunctionCache):
    """Of one function. Raises RuntimeError where its folder cannot be written."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        own = self._cache_file
        self._cache_file = _Sealed(self._cache_path, self._impl.filename_base, own._source_stamp)

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """numba's name for it. A kernel that cannot be kept is compiled all the same."""
        try:
            yield
        except OSError as error:
            complain(Path(self._cache_path), error)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [UserProvidedCacheLocator]  # noqa: RUF012  # not beside the sources, nor in numba's own folder


KernelCache._impl_class = _Implementation


class _Sealed(IndexDataCacheFile):
    """The index: call -> name of the file that holds its code."""

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        return found[1] if found and found[0] == key else None

    def _load_index(self) -> dict[Any, str]:
        content = read(Path(self._index_path))
        if content is None:
            return {}
        version, stamp, overloads = pickle.loads(content)
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        write(Path(self._index_path), self._dump((self._version, self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        content = read(Path(self._data_path(name)))
        if content is None:
            raise FileNotFoundError(name)  # which `load` takes for a kernel that is not there
        return pickle.loads(content)

    def _save_data(self, name: str, data: Any) -> None:
        write(Path(self._data_path(name)), self._dump(data))
