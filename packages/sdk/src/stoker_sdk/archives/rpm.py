# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""RPM packages: name, version and architecture from the header of an ``.rpm``."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO, Final

from stoker_sdk.archives.identity import ArchiveError, Identity

MAX_HEADER: Final = 64 * 1024 * 1024
"""Bytes that a header may have."""
MAX_ENTRIES: Final = 65_536

_AGAIN: Final = "Build the package again with rpmbuild."
_LEAD: Final = 96
_LEAD_MAGIC: Final = b"\xed\xab\xee\xdb"
_HEADER_MAGIC: Final = b"\x8e\xad\xe8\x01"
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_INT32, _STRING = 4, 6
_WORDS: Final = {
    _NAME: re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*"),
    _VERSION: re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^]*"),
    _RELEASE: re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^]*"),
    _ARCHITECTURE: re.compile(r"[a-z0-9_]+"),
}


def read_rpm(path: Path) -> Identity:
    """What an ``.rpm`` says of itself. Raises ArchiveError or OSError."""
    with path.open("rb") as file:
        if file.read(_LEAD)[:4] != _LEAD_MAGIC:
            raise ArchiveError("it is no RPM package", _AGAIN)
        _, signature = _header(file)
        file.seek(-len(signature) % 8, 1)  # the signature ends at a multiple of eight
        entries, store = _header(file)
    if _SOURCE not in entries:
        raise ArchiveError("it is a source package", "Ship the binary package that is built from it.")
    words = {tag: _text(entries, store, tag) for tag in _WORDS}
    for tag, pattern in _WORDS.items():
        if not pattern.fullmatch(words[tag]):
            raise ArchiveError(f"its header has no valid tag {tag}: {words[tag][:80]!r}", _AGAIN)
    epoch = _number(entries, store, _EPOCH)
    return Identity(name=words[_NAME], version=f"{epoch}:{words[_VERSION]}-{words[_RELEASE]}", architecture=words[_ARCHITECTURE])


def _header(file: BinaryIO) -> tuple[dict[int, tuple[int, int]], bytes]:
    """Tag -> (type, offset) of the first value, and the store that offsets point into."""
    intro = file.read(16)
    if len(intro) != 16 or intro[:4] != _HEADER_MAGIC:
        raise ArchiveError("it is damaged: a header is missing", _AGAIN)
    count, size = struct.unpack("!II", intro[8:])
    if count > MAX_ENTRIES or size > MAX_HEADER:
        raise ArchiveError(f"a header has {count} entries and {size} bytes, more than packages have", _AGAIN)
    index, store = file.read(16 * count), file.read(size)
    if len(index) != 16 * count or len(store) != size:
        raise ArchiveError("it ends too early", _AGAIN)
    entries: dict[int, tuple[int, int]] = {}
    for number in range(count):
        tag, kind, offset, _ = struct.unpack_from("!IIII", index, 16 * number)
        if tag in entries:
            raise ArchiveError(f"its header has the tag {tag} twice", _AGAIN)
        entries[tag] = (kind, offset)
    return entries, store


def _text(entries: dict[int, tuple[int, int]], store: bytes, tag: int) -> str:
    kind, offset = entries.get(tag, (0, 0))
    end = store.find(b"\0", offset)
    return store[offset:end].decode("ascii", "replace") if kind == _STRING and 0 <= offset <= end else ""


def _number(entries: dict[int, tuple[int, int]], store: bytes, tag: int) -> int:
    kind, offset = entries.get(tag, (0, 0))
    if kind != _INT32 or offset + 4 > len(store):
        return 0
    return int(struct.unpack_from("!I", store, offset)[0])
