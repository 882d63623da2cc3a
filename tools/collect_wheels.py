"""Collect what `gsd gpu-check` needs on a machine without a network, which has PyTorch, Triton and a few others.

    python tools/collect_wheels.py [--out wheels] [--python 3.12] [--have scipy pillow]

Run it in gsd's own environment on a machine with a network. What gsd depends on is read from the installed packages,
less what the other machine has, and less what gpu-check does without; versions are the installed ones, which
constraints.txt chose. The line that installs the wheels there is printed at the end.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

HAVE = ("torch", "triton", "numba", "transformers", "peft")  # there, with what each of them names
LEFT_OUT = {  # distribution -> module: for metrics, trackers, films and exports
    "torchvision": "torchvision",
    "wandb": "wandb",
    "imageio": "imageio",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "scikit-image": "skimage",
    "xatlas": "xatlas",
    "fast-simplification": "fast_simplification",
}
SOURCES = ("antlr4-python3-runtime",)  # on the package index as source only; pure Python
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("wheels"))
    parser.add_argument("--python", default="{}.{}".format(*sys.version_info), help="version there")
    parser.add_argument("--have", nargs="*", default=[], help="further packages that are there")
    args = parser.parse_args()
    names = missing([*HAVE, *args.have])
    args.out.mkdir(parents=True, exist_ok=True)
    download([name for name in names if name not in SOURCES], args.out, args.python)
    build([name for name in names if name in SOURCES], args.out)
    size = sum(wheel.stat().st_size for wheel in args.out.glob("*.whl"))
    print(f"{len(names)} packages, {size / 1e6:.1f} MB in {args.out}. In a checkout on the other machine:\n")
    print(f"pip install --no-index --no-deps --find-links {args.out} {' '.join(names)}")
    print("python run.py gpu-check")


def missing(have: Iterable[str]) -> list[str]:
    """Everything that gsd depends on, less what `have` names, what these name, and LEFT_OUT.

    What those name in turn is another matter in other versions, so it is collected once more.
    """
    there = {each for name in have for each in (canonical(name), *needs(canonical(name)))}
    return sorted(closure("gsd-lab", {*LEFT_OUT, *there}) - {"gsd-lab"})


def closure(name: str, without: set[str]) -> set[str]:
    """A package and all that it depends on, as they are installed here, less those in `without` and what these need."""
    found: set[str] = set()
    left = [name]
    while left:
        name = left.pop()
        if name not in found and name not in without:
            found.add(name)
            left += needs(name)
    return found


def needs(name: str) -> list[str]:
    """What a package itself depends on."""
    try:
        wanted = [Requirement(need) for need in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:  # of another platform, such as PyTorch's parts of CUDA
        return []
    return [canonical(each.name) for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def download(names: list[str], out: Path, python: str) -> None:
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    target = ["--only-binary", ":all:", "--python-version", python, *platforms]
    _pip("download", "--no-deps", *target, "-d", str(out.resolve()), *map(pinned, names))


def build(names: list[str], out: Path) -> None:
    if names:
        _pip("wheel", "--no-deps", "-w", str(out.resolve()), *map(pinned, names))


def pinned(name: str) -> str:
    return f"{name}=={metadata.version(name)}"


def _pip(*arguments: str) -> None:
    with tempfile.TemporaryDirectory() as away:  # pip must not take a module of the working directory for its own
        done = subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], cwd=away, check=False)
    if done.returncode:
        sys.exit(f"error: pip {arguments[0]} has failed, see above.")


if __name__ == "__main__":
    main()
