"""The vertices of a .ply file of anybody's, with all sizes checked before memory is taken.

plyfile, which writes ours, reads headers in ASCII alone, believes the counts in them, and parses text value by value.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gsd.errors import GsdError, did_you_mean

LONGEST = 2**20  # bytes of a header
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float": "f4", "double": "f8", "float32": "f4", "float64": "f8",
}  # fmt: skip


class _UnreadableError(Exception):
    """What is wrong, for the middle of a sentence."""


@dataclass
class _Element:
    name: str
    count: int
    properties: dict[str, str] = field(default_factory=dict)  # name -> numpy's type
    lists: dict[str, str] = field(default_factory=dict)  # those that are lists: name -> type of their lengths

    def dtype(self, order: str) -> np.dtype:
        return np.dtype([(name, order + kind) for name, kind in self.properties.items()])

    @property
    def least(self) -> int:
        """Bytes that it takes in a text, where each number has a digit and a space behind it, but for the very last."""
        return max(0, 2 * len(self.properties) * self.count - 1)


def vertices(path: Path) -> dict[str, np.ndarray]:
    """The properties of the element "vertex" by name; of text, numbers are float64 unless the type is an integer.

    Raises GsdError, in a sentence, for a file that is damaged, or holds fewer vertices than it declares.
    """
    try:
        with open(path, "rb") as file:
            order, elements, start = _header(file.read(LONGEST))
            size = file.seek(0, 2)
            before, vertex = _parted(elements)
            body: Any = np.memmap(file, np.uint8, "r", offset=start, shape=(size - start,)) if size > start else b""
            return (_binary if order else _text)(memoryview(body), before, vertex, order)
    except _UnreadableError as error:
        raise GsdError(f"{path}: not a readable PLY file: {error}.") from None
    except (OSError, ValueError) as error:
        raise GsdError(f"{path}: not a readable PLY file ({' '.join(str(error).split())}).") from error


def _header(head: bytes) -> tuple[str, list[_Element], int]:
    """The order of bytes, "" for text; the elements; where the header ends."""
    begin = re.match(rb"ply[ \t]*(\r\n|\n|\r)", head)
    if not begin:
        raise _UnreadableError("it does not begin with a line 'ply'")
    newline = begin[1]
    end = re.search(re.escape(newline) + rb"end_header[ \t]*" + re.escape(newline), head)
    if not end:
        raise _UnreadableError("its header has no line 'end_header'")
    order, elements = None, list[_Element]()
    for line in head[: end.start()].decode("utf-8", "replace").split(newline.decode())[1:]:
        match line.split():
            case ["format", word, *_]:
                if word not in ORDERS:
                    raise _UnreadableError(f"there is no format {word}; one of {', '.join(ORDERS)}{_near(word)}")
                order = ORDERS[word]
            case ["element", name, count]:
                if not re.fullmatch(r"[0-9]{1,18}", count):
                    raise _UnreadableError(f"its element {name} has the count {count[:30]}")
                elements.append(_Element(name, int(count)))
            case ["property", *words] if elements:
                _add(elements[-1], words)
            case ["comment" | "obj_info", *_] | []:
                pass
            case _:
                raise _UnreadableError(f"its header has the line {line[:60]!r}")
    if order is None:
        raise _UnreadableError("its header has no line 'format'")
    return order, elements, end.end()


def _near(word: str) -> str:
    return did_you_mean(word, ORDERS).removesuffix("?")


def _add(element: _Element, words: list[str]) -> None:
    """A property, from its line of the header."""
    *kinds, name = words or [""]
    listed = kinds[:1] == ["list"]
    known = [TYPES[kind] for kind in kinds[listed:] if kind in TYPES]
    if len(known) != 1 + listed or len(kinds) != 1 + 2 * listed or (listed and known[0][0] == "f"):
        raise _UnreadableError(f"its header has the line 'property {' '.join(words)[:60]}'")
    if name in element.properties:
        raise _UnreadableError(f"its element {element.name} has two properties {name}")
    element.properties[name] = known[-1]
    if listed:
        element.lists[name] = known[0]


def _parted(elements: list[_Element]) -> tuple[list[_Element], _Element]:
    """The elements before the vertices, and the vertices."""
    names = [element.name for element in elements]
    if "vertex" not in names:
        raise _UnreadableError("it has no element 'vertex'")
    place = names.index("vertex")
    if listed := next(iter(elements[place].lists), None):
        raise _UnreadableError(f"the property '{listed}' of its vertices is a list, not a number")
    return elements[:place], elements[place]


def _binary(body: memoryview, before: list[_Element], vertex: _Element, order: str) -> dict[str, np.ndarray]:
    at = 0
    for element in before:
        at = _behind(body, at, element, order)
    kind = vertex.dtype(order)
    _check(vertex, kind.itemsize * vertex.count, len(body) - at)
    table = np.frombuffer(body, kind, vertex.count, at)
    return {name: table[name].astype(kind[name].newbyteorder("=")) for name in vertex.properties}


def _behind(body: memoryview, at: int, element: _Element, order: str) -> int:
    """Where an element ends that begins at `at`."""
    if not element.lists:
        return at + element.dtype(order).itemsize * element.count
    sizes = {name: np.dtype(kind).itemsize for name, kind in element.properties.items()}
    lengths = {n: struct.Struct((order or "=") + np.dtype(kind).char) for n, kind in element.lists.items()}
    for _ in range(element.count):
        for name, size in sizes.items():
            if name in lengths:
                if at + lengths[name].size > len(body):
                    raise _UnreadableError(f"it ends within its element {element.name}")
                length = int(lengths[name].unpack_from(body, at)[0])
                at += lengths[name].size + max(0, length) * size
            else:
                at += size
    return at


def _text(body: memoryview, before: list[_Element], vertex: _Element, order: str) -> dict[str, np.ndarray]:
    _check(vertex, vertex.least, len(body))
    lines = (line for line in BytesIO(body) if line.strip())
    for element in before:
        next(islice(lines, element.count, element.count), None)
    rows = [line.decode("latin-1") for line in islice(lines, vertex.count)]
    if len(rows) < vertex.count:
        raise _UnreadableError(f"it declares {vertex.count} vertices and holds {len(rows)}")
    wide = len(vertex.properties)
    table = np.loadtxt(rows, np.float64, comments=None, ndmin=2) if rows else np.empty((0, wide))
    if table.shape[1] != wide:
        raise _UnreadableError(f"its vertices have {wide} properties and {table.shape[1]} numbers per line")
    return {name: _typed(name, table[:, k], kind) for k, (name, kind) in enumerate(vertex.properties.items())}


def _typed(name: str, column: np.ndarray, kind: str) -> np.ndarray:
    if kind[0] == "f":
        return column
    limits = np.iinfo(kind)
    if not ((column >= limits.min) & (column <= limits.max) & (column == np.rint(column))).all():
        raise _UnreadableError(
            f"its property {name} has numbers that are no integers from {limits.min} to {limits.max}"
        )
    return column.astype(kind)


def _check(vertex: _Element, needed: int, there: int) -> None:
    if needed > there:
        raise _UnreadableError(
            f"it declares {vertex.count} vertices, which take {needed} bytes, and has {max(0, there)} for them"
        )
