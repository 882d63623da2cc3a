"""Files of points as strangers write them: any layout, names, types and scale, whole or damaged."""

import io
import zipfile

import numpy as np

TYPES = {
    "f4": "float", "f8": "double", "u1": "uchar", "i1": "char", "u2": "ushort", "i2": "short", "i4": "int",
}  # fmt: skip
RGB = [("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("Red", "G", "b")]
ODD = [
    "", "ply", "format", "end_header", "property list uchar int x", "property float x", "element vertex 5", "\t", "é\0",
]  # fmt: skip


def cloud(rng, folder):
    """A path, and how many points must come of it if it is read; None where that may be anything."""
    points, whole = _points(rng)
    kind = rng.choice(["ply", "ply", "npz"])
    path = folder / f"cloud.{rng.choice([kind, kind, kind.upper()])}"
    content, whole = (_ply if kind == "ply" else _npz)(rng, points, whole)
    if rng.random() < 0.4:
        content, whole = _damaged(rng, content), None
    path.write_bytes(content)
    return path, whole


def _points(rng):
    numbers = np.random.default_rng(rng.getrandbits(32))
    points = numbers.normal(size=(rng.choice([0, 1, 2, 50, 200]), 3))
    whole = len(points) or None
    if rng.random() < 0.5:
        points *= 10.0 ** rng.uniform(-305, 305)
    if rng.random() < 0.3:
        points += rng.choice([5e6, -1e12, 1e-3])
    if rng.random() < 0.1 and len(points):
        points[rng.randrange(len(points)), rng.randrange(3)] = rng.choice([np.nan, np.inf, -np.inf])
        whole = None
    return points, whole


def _columns(rng, points):
    """Names and values of a .ply's vertices."""
    count, numbers = len(points), np.random.default_rng(rng.getrandbits(32))
    with np.errstate(all="ignore"):
        columns = dict(zip("xyz", points.astype(rng.choice(["f8", "f8", "f4"])).T, strict=True))
    if rng.random() < 0.5:
        kind = rng.choice(["u1", "u1", "u2", "f4", "i4", "i1"])
        most = 1 if kind == "f4" else np.iinfo(kind).max if rng.random() < 0.8 else 100
        rgb = (numbers.random((3, count)) * most).astype(kind)
        columns |= dict(zip(rng.choice(RGB), rgb, strict=True))
    if rng.random() < 0.4:
        for name in ("f_dc_0", "f_dc_1", "f_dc_2")[: rng.choice([1, 3, 3, 3])]:
            columns[name] = numbers.normal(size=count).astype("f4")
        for k in range(rng.choice([0, 3, 9, 10, 12, 45, 72])):
            columns[f"f_rest_{k}"] = np.zeros(count, "f4")
    if rng.random() < 0.3:
        columns["opacity"] = numbers.normal(rng.choice([-9, 0, 9]), 3, count).astype("f4")
    names = rng.sample(list(columns), len(columns))
    return {name: columns[name] for name in names if rng.random() < 0.99}


def _ply(rng, points, whole):
    columns = _columns(rng, points)
    if not set("xyz") <= columns.keys() or "opacity" in columns:
        whole = None
    order = rng.choice(["ascii", "binary_little_endian", "binary_big_endian"])
    declared, faces = len(points), rng.random() < 0.2
    if rng.random() < 0.1:
        declared, whole = rng.choice([10**12, -1, "many", len(points) + 1]), None
    head = ["ply", f"format {order} 1.0", "comment München" if rng.random() < 0.2 else "comment x"]
    head += ["element face 2", "property list uchar int vertex_indices"] if faces else []
    head += [f"element vertex {declared}"]
    head += [f"property {TYPES[column.dtype.str[1:]]} {name}" for name, column in columns.items()]
    head += ["end_header"]
    if rng.random() < 0.1:
        head.insert(rng.randrange(len(head)), rng.choice(ODD))
        whole = None
    newline = rng.choice(["\n", "\n", "\r\n"])
    body = _body(columns, order, faces, len(points), newline)
    return (newline.join(head) + newline).encode(rng.choice(["utf-8", "latin-1"])) + body, whole


def _body(columns, order, faces, count, newline):
    if order == "ascii":
        lines = ["3 0 1 2", "4 0 1 2 3"] * faces
        lines += [" ".join(str(column[k]) for column in columns.values()) for k in range(count)]
        return "".join(line + newline for line in lines).encode()
    sign = "<" if "little" in order else ">"
    table = np.empty(count, [(name, sign + column.dtype.str[1:]) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    listed = b"".join(bytes([n]) + np.arange(n).astype(f"{sign}i4").tobytes() for n in (3, 4)) if faces else b""
    return listed + table.tobytes()


def _npz(rng, points, whole):
    arrays = {rng.choice(["xyz", "xyz", "coords"]): points}
    count = len(points) - (rng.random() < 0.1)
    if rng.random() < 0.5:
        numbers = np.random.default_rng(rng.getrandbits(32))
        rgb = numbers.integers(0, 256, (max(0, count), 3)).astype(rng.choice(["u1", "u2", "i8"]))
        arrays |= {"rgb": rgb} if rng.random() < 0.5 else dict(zip("RGB", rgb.T / 255, strict=True))
        whole = whole if count == len(points) else None
    if rng.random() < 0.15:
        arrays[rng.choice(["xyz", "rgb", "R", "more"])] = rng.choice(
            [np.array([{}, None]), np.array(["a"]), np.zeros(3), np.array(1j), np.zeros((2, 3), ">f8"), np.array(True)]
        )
        whole = None
    file = io.BytesIO()
    rng.choice([np.savez, np.savez_compressed])(file, **arrays)
    return (_liar(rng, file) if rng.random() < 0.05 else file.getvalue()), whole


def _liar(rng, file):
    """An array that declares more than the archive has."""
    head, out = io.BytesIO(), io.BytesIO()
    shape = (10 ** rng.randrange(3, 15), 3)
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xyz.npy", head.getvalue() + bytes(48))
    return out.getvalue()


def _damaged(rng, content):
    content, size = bytearray(content), len(content)
    way = rng.choice(["cut", "flip", "flip", "insert", "twice", "zeros", "head"])
    at = rng.randrange(size)
    if way == "cut":
        del content[at:]
    elif way == "flip":
        for _ in range(rng.choice([1, 5, 50])):
            content[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif way == "insert":
        content[at:at] = rng.randbytes(rng.choice([1, 3, 100]))
    elif way == "twice":
        content = content * 2
    elif way == "zeros":
        content[at:] = bytes(size - at)
    else:
        end = min(size, 200)
        content[rng.randrange(end)] = rng.randrange(256)
    return bytes(content)
