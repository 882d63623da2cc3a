"""Run and sweep folders, hurt in every way that disks, editors and other programs hurt them."""

import json
import os
import shutil

import yaml

VALUES = [
    None, True, 0, -1, 10**30, 10**400, 1e300, float("nan"), float("inf"), -float("inf"), "", "=1+1", "\0", "\ud83d",
    "${oc.env:HOME}", "é", [], [[]], [None], {}, {"": {}}, {"_target_": "os.getcwd"}, "1e3", 0.5, ["a"], {"a": [1, {}]},
]  # fmt: skip
TEXTS = [
    b"", b"null\n", b"[]\n", b"3\n", b"{}\n", b'"text"\n', b"\xff\xfe\x00", b"\0" * 64, b"9" * 6000 + b"\n", b"NaN\n",
    b"[" * 5000 + b"]" * 5000 + b"\n", b'{"a":' * 400 + b"1" + b"}" * 400 + b"\n", b"- a\n- b\n", b"a: &a [*a]\n",
    b"a: &a {b: 1}\nc: &c {<<: [*a, *a]}\n", b"\xef\xbb\xbf{}\n", b"? [1]\n: 2\n", b"a: 2024-99-99\n", b"%\n",
    b"a: !!python/x 1\n",
]  # fmt: skip


def hurt(rng, root):
    """Damage one or two things at or below a folder; returns what was done, in words."""
    paths = sorted(path for path in root.rglob("*") if path.is_file() or path.is_dir())
    weights = [8 if path.suffix in (".json", ".jsonl", ".yaml") else 2 if path.is_file() else 1 for path in paths]
    done = []
    for path in rng.choices(paths, weights, k=rng.choice([1, 1, 2])):
        if not os.path.lexists(path):
            continue
        ways = [replaced, gone, linked, piped]
        if path.is_file() and not path.is_symlink():
            ways += [cut, flipped, overwritten, marked] * 2
            ways += [mutated] * 8 if path.suffix in (".json", ".jsonl", ".yaml") else []
        way = rng.choice(ways)
        way(rng, path)
        done.append(f"{way.__name__} {path.relative_to(root)}")
    return ", ".join(done)


def _remove(path):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def gone(rng, path):
    _remove(path)


def replaced(rng, path):
    """By a folder, or by a file."""
    was = path.is_dir()
    _remove(path)
    path.write_bytes(rng.choice(TEXTS)) if was else path.mkdir()


def piped(rng, path):
    """By a pipe that nobody writes to."""
    _remove(path)
    os.mkfifo(path)


def linked(rng, path):
    """To nowhere, to itself, or to the folder above."""
    _remove(path)
    path.symlink_to(rng.choice(["/nonexistent/there", path.name, "..", "/proc/self/mem", "/dev/null", "/dev/zero"]))


def cut(rng, path):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])


def flipped(rng, path):
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 30])):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def overwritten(rng, path):
    path.write_bytes(rng.choice(TEXTS))


def marked(rng, path):
    """A byte-order mark in front, or bytes that are no text in between."""
    content = path.read_bytes()
    at = rng.randrange(len(content) + 1)
    path.write_bytes(
        rng.choice([b"\xef\xbb\xbf" + content, content[:at] + b"\xe9\0\xff" + content[at:], b"\n" + content])
    )


def mutated(rng, path):
    """One value of JSON or YAML is another, of any type; bits are flipped in a file that is damaged already."""
    try:
        _mutate(rng, path)
    except (ValueError, yaml.YAMLError):
        flipped(rng, path)


def _mutate(rng, path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        path.write_text(yaml.dump(_mutant(rng, yaml.safe_load(text)), allow_unicode=False), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(_mutant(rng, json.loads(text))), encoding="utf-8")
    else:
        lines = text.splitlines() or ["{}"]
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(_mutant(rng, json.loads(lines[at])))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _mutant(rng, value, depth=0):
    if isinstance(value, dict | list) and value and rng.random() < 0.85 - 0.1 * depth:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.2:
            del value[key]
        else:
            value[key] = _mutant(rng, value[key], depth + 1)
        return value
    return rng.choice(VALUES)
