"""Digests of files that a run reads; those of large ones are remembered as long as the file stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gsd.backend.cache import cache_folder, read, write
from gsd.backend.obj_files import named_by

LARGE = 16 * 2**20  # bytes, from which reading a file again is worth a look into the cache
SETTLED_NS = 2 * 10**9  # a file changed since so long ago shows the next change in its dates
_known: dict[Path, tuple[str, list[int]]] = {}  # where there is no cache: digest and state of large files
OF_RUN = ("identity.json", "checkpoint.pt")  # a folder that has them is a run's
DAMAGED = "damaged"  # in the place of a digest: whoever reads the folder will say more
UNREAD = (".md",)  # of a folder of weights; hidden files neither


def digests(place: Path) -> dict[str, str]:
    """The digest of a file under the name ""; those of all files in a folder, and those that an .obj names, by their
    paths in its folder.

    Of a run folder the scene that it ends with counts: not its clock, and not what is measured or drawn of it.
    """
    if place.is_file():
        beside = named_by(place) if place.suffix.lower() == ".obj" else []
        return {"": _digest(place), **{os.path.relpath(file, place.parent): _digest(file) for file in beside}}
    if all((place / name).is_file() for name in OF_RUN):
        return {name: _digest(place / name, compute) for name, compute in zip(OF_RUN, (_kind, _scene), strict=True)}
    return {str(file.relative_to(place.absolute())): _digest(file) for file in sorted(_files(place))}


def content(name: str | None) -> str | None:
    """What is in the file or folder of this name; the name itself where there is none, as for a hub id."""
    place = None if name is None else Path(name).expanduser()
    return str(digests(place)) if place is not None and place.exists() else name


def _files(folder: Path) -> Iterator[Path]:
    """Also behind links, as the hub's cache has them, each folder once; gsd's own cache is no input."""
    seen, own = set(), cache_folder().absolute()
    for here, below, names in os.walk(folder.absolute(), followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen or Path(here) == own:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = [name for name in below if name[0] != "."]
        files = (Path(here, name) for name in names if name[0] != "." and not name.endswith(UNREAD))
        yield from (file for file in files if file.is_file())


def _digest(file: Path, compute: Callable[[Path], str] | None = None) -> str:
    """Of a file that cannot be read, the reason: whoever needs it will say so."""
    try:
        status = file.stat()
        dates = status.st_mtime_ns, status.st_ctime_ns, status.st_ino
        return _read(file.resolve(), compute or _computed, status.st_size, *dates)
    except OSError as error:
        return str(error.strerror)


def _read(file: Path, compute: Callable[[Path], str], size: int, *dates: int) -> str:
    """size, dates: whatever changes when the file does."""
    if size < LARGE:
        return compute(file)
    state = [size, *dates]
    if _known.get(file, ("", []))[1] == state:
        return _known[file][0]
    memory = cache_folder() / "digests" / f"{hashlib.blake2b(os.fsencode(file), digest_size=16).hexdigest()}.bin"
    kept = json.loads(read(memory) or b"{}")
    if kept.get("state") == state:
        return kept["digest"]
    digest = compute(file)
    if time.time_ns() - max(dates[:2]) > SETTLED_NS:
        _known[file] = digest, state
        write(memory, json.dumps({"state": state, "digest": digest}).encode())
    return digest


def _computed(file: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        for part in iter(partial(stream.read, 2**20), b""):
            digest.update(part)
    return digest.hexdigest()


def _kind(file: Path) -> str:
    """Of the options of the representation in a run's identity.json, without which a checkpoint means nothing."""
    try:
        settings = json.loads(file.read_bytes())["settings"]
        kept = {key: value for key, value in settings.items() if key.startswith("representation.")}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return DAMAGED
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=16).hexdigest()


def _scene(file: Path) -> str:
    """Of the scene in a checkpoint of a run, as `Representation.state` gives it."""
    import torch

    try:
        state = torch.load(file, weights_only=True, map_location="cpu")["representation"]
    except OSError:
        raise
    except Exception:  # torch raises many kinds for a damaged file
        return DAMAGED
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest.update, state)
    return digest.hexdigest()


def _feed(update: Callable[[bytes], object], value: Any) -> None:
    """All that is in a state: numbers and texts, and the bytes of tensors."""
    import torch

    if isinstance(value, torch.Tensor):
        update(f"{value.dtype}{tuple(value.shape)}".encode())
        update(value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict | list | tuple):
        update(f"{type(value).__name__}{len(value)}".encode())
        for each in value.items() if isinstance(value, dict) else value:
            _feed(update, each)
    else:
        update(repr(value).encode())
