# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: the same input gives the same bytes; every hostile bundle is refused by its rule."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stoker_sdk.bundle import open_bundle, write_bundle
from stoker_sdk.errors import InvalidBundleError
from stoker_sdk.source import build_bundle

MANIFEST = {"format": 1, "name": "hello", "version": "1.0.0", "title": "Hello"}


def pack(members: list[tuple[str | zipfile.ZipInfo, bytes]], *, sums: str | None = None) -> bytes:
    """A zip with these members, and right sums unless others are given."""
    buffer = io.BytesIO()
    if sums is None:
        sums = "".join(
            f"{hashlib.sha256(data).hexdigest()}  {name if isinstance(name, str) else name.filename}\n" for name, data in members
        )
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.writestr("SHA256SUMS", sums)
    return buffer.getvalue()


def manifest(**changes: object) -> tuple[str, bytes]:
    return "manifest.json", json.dumps({**MANIFEST, **changes}).encode()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("files/link")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def changed() -> bytes:
    return pack([manifest(), ("files/a", b"b")], sums=pack_sums([manifest(), ("files/a", b"a")]))


def pack_sums(members: list[tuple[str, bytes]]) -> str:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members)


def duplicate() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return pack([manifest(), ("files/a", b"a"), ("files/a", b"b")])


def encrypted() -> bytes:
    data = bytearray(pack([manifest()]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "not a zip": (lambda: b"hello", {"B001"}),
    "truncated": (lambda: pack([manifest()])[:-30], {"B001"}),
    "no sums": (lambda: pack([manifest()], sums=""), {"B003"}),
    "missing": (lambda: pack([manifest()], sums=pack_sums([manifest(), ("files/a", b"a")])), {"B002"}),
    "extra": (lambda: pack([manifest(), ("files/a", b"a")], sums=pack_sums([manifest()])), {"B003"}),
    "foreign": (lambda: pack([manifest(), ("other", b"a")]), {"B003"}),
    "changed": (changed, {"B010"}),
    "duplicate": (duplicate, {"B005"}),
    "absolute": (lambda: pack([manifest(), ("/etc/passwd", b"a")]), {"B004"}),
    "parent": (lambda: pack([manifest(), ("files/../../x", b"a")]), {"B004"}),
    "backslash": (lambda: pack([manifest(), ("files/a\\b", b"a")]), {"B004"}),
    "link": (lambda: pack([manifest(), (link(), b"/etc/passwd")]), {"B007"}),
    "encrypted": (encrypted, {"B008"}),
    "bomb": (lambda: pack([manifest(), ("files/a", bytes(8 * 1024 * 1024))]), {"B006"}),
    "bomb of many": (lambda: pack([manifest(), *((f"files/{n}", bytes(1024 * 1024)) for n in range(50))]), {"B006"}),
    "file and folder": (lambda: pack([manifest(), ("files/a", b"x"), ("files/a/b", b"y")]), {"B005"}),
    "long name": (lambda: pack([manifest(), (f"files/{'n' * 300}", b"x")]), {"B004"}),
    "long path": (lambda: pack([manifest(), (f"files/{'n/' * 600}x", b"x")]), {"B004"}),
    "key twice": (lambda: pack([("manifest.json", b'{"format": 1, "name": "a", "name": "b", "version": "1"}')]), {"B011"}),
    "no number": (lambda: pack([("manifest.json", json.dumps({**MANIFEST, "x": float("nan")}).encode())]), {"B011"}),
    "large number": (lambda: pack([manifest(x=10**30)]), {"B011"}),
    "larger number": (lambda: pack([("manifest.json", b'{"x": 1e999}')]), {"B011"}),
    "half a character": (lambda: pack([manifest(title="\ud800")]), {"B011"}),
    "UTF-16": (lambda: pack([("manifest.json", json.dumps(MANIFEST).encode("utf-16"))]), {"B011"}),
    "deep": (lambda: pack([("manifest.json", b'{"x":' * 300 + b"1" + b"}" * 300)]), {"B011"}),
    "deeper": (lambda: pack([("manifest.json", b"[" * 200_000)]), {"B011"}),
    "large manifest": (lambda: pack([manifest(description=os.urandom(13 * 2**20).hex())]), {"B006"}),
    "many": (lambda: pack([manifest(), *((f"files/{n}", b"") for n in range(10_001))]), {"B006"}),
    "manifest not JSON": (lambda: pack([("manifest.json", b"{")]), {"B011"}),
    "manifest not fitting": (lambda: pack([manifest(contributions=[{"point": "nothing"}])]), {"B012"}),
    "no manifest": (lambda: pack([("files/a", b"a")]), {"B002"}),
}


GOOD = pack([manifest(), ("files/a", b"a" * 100), ("files/b/c", b"b")])


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_refused(case: str) -> None:
    make, rules = HOSTILE[case]
    with pytest.raises(InvalidBundleError) as caught:
        open_bundle(make(), name="x.stoker")
    assert caught.value.rule in rules, str(caught.value)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    files = {"b.sh": (b"#!/bin/sh\n", True), "a.txt": (b"a", False)}
    first = write_bundle(dict(MANIFEST), files, tmp_path / "1")
    second = write_bundle(dict(reversed(MANIFEST.items())), dict(reversed(files.items())), tmp_path / "2")
    assert first.read_bytes() == second.read_bytes()
    bundle = open_bundle(first)
    assert bundle.names() == ["a.txt", "b.sh"]
    assert bundle.executables == {"b.sh"}
    bundle.extract(tmp_path / "out")
    assert (tmp_path / "out/files/b.sh").stat().st_mode & 0o777 == 0o755


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 40))
def test_whatever_is_changed_in_a_bundle_it_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD[: len(GOOD) - cut])
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(InvalidBundleError):
        opened = open_bundle(bytes(data))
        for name in opened.names():
            opened.read(name)


def test_a_large_bundle_is_checked_and_unpacked_in_little_memory(tmp_path: Path) -> None:
    noise = os.urandom(256 * 1024) * 32
    members = [manifest(), *((f"files/{number}", noise[number:] + bytes(number)) for number in range(8))]
    (tmp_path / "large.stoker").write_bytes(pack(members))
    del members
    tracemalloc.start()
    bundle = open_bundle(tmp_path / "large.stoker")
    bundle.extract(tmp_path / "out")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * 1024 * 1024
    assert (tmp_path / "out/files/3").read_bytes() == noise[3:] + bytes(3) == bundle.read("3")


def test_a_bundle_that_changes_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.stoker"
    file.write_bytes(pack([manifest(), ("files/a", b"a")]))
    bundle = open_bundle(file)
    file.write_bytes(pack([manifest(), ("files/a", b"b")]))
    for use in (lambda: bundle.read("a"), lambda: bundle.extract(tmp_path / "out")):
        with pytest.raises(InvalidBundleError) as caught:
            use()
        assert caught.value.rule == "B010"
    with pytest.raises(KeyError):
        bundle.read("b")


def test_a_link_that_leaves_the_folder_is_not_packed(tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "x.sh").symlink_to(tmp_path / "secret")
    (folder / "plugin.yaml").write_text(
        "name: hello\nversion: 1.0.0\ntitle: Hello\ncontributions:\n- {point: tasks.script, id: x, roles: ['*'], source: x.sh}\n"
    )
    with pytest.raises(InvalidBundleError) as caught:
        build_bundle(folder, tmp_path)
    assert caught.value.rule == "B004"
