"""What an .obj leaves to other files: its materials, and their pictures."""

from __future__ import annotations

from pathlib import Path


def named_by(obj: Path) -> list[Path]:
    """The files of materials that it names, and the pictures that these name, as far as they are there."""
    materials = _named(obj, "mtllib")
    return [*materials, *(picture for material in materials for picture in _named(material, "map_kd"))]


def _named(file: Path, keyword: str) -> list[Path]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        words = (line.split(None, 1) for line in lines if line.lstrip()[:1] in "mM")
        names = [pair[1].strip() for pair in words if pair and pair[0].lower() == keyword and len(pair) == 2]
    return [place for name in dict.fromkeys(names) if (place := file.parent / name).is_file()]
