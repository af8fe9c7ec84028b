# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: the one file in which a plugin travels; written deterministically, read with distrust."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from stoker_sdk.errors import InvalidBundleError, InvalidPluginError
from stoker_sdk.manifest import read_manifest
from stoker_sdk.plugin import Plugin

MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
FILES: Final = "files/"
SUFFIX: Final = ".stoker"

MAX_MEMBERS: Final = 10_000
MAX_TOTAL: Final = 512 * 1024 * 1024
"""Bytes that all members may have together when unpacked."""
MAX_RATIO: Final = 200
"""How much larger than its packed form a member above 1 MiB, or the whole, may be."""
MAX_LIST: Final = 16 * 1024 * 1024
"""Bytes that the manifest, or the list of sums, may have."""
MAX_DEPTH: Final = 200
"""How many lists and maps of the manifest may stand inside each other."""
MAX_PATH: Final = 1024
"""Bytes of a path."""
MAX_PARTS: Final = 64
"""Folders that a path may go through."""
MAX_PART: Final = 255
"""Bytes of a file's or folder's name: more cannot be written to a disk."""

_SMALL: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    IndexError,
    struct.error,
    zlib.error,
)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was read and found to be whole."""

    manifest: dict[str, object]
    """The manifest as it stands in the bundle."""
    plugin: Plugin
    """The same as a plugin."""
    digest: str
    """SHA-256 of the whole file."""
    sums: dict[str, str]
    """Every file of the plugin by its path in the plugin's folder, with the SHA-256 of its bytes."""
    executables: frozenset[str] = frozenset()
    """Those of them that are marked executable."""
    name: str = "bundle"
    """What messages call it."""
    source: Path | bytes
    """Where its bytes are; files are read from there one by one, and held against their sums again."""

    def names(self) -> list[str]:
        """The paths of the plugin's files, sorted."""
        return sorted(self.sums)

    def read(self, name: str) -> bytes:
        """One file's bytes.

        Raises:
            KeyError: the bundle has no such file.
            InvalidBundleError: the bundle was changed since it was opened.
        """
        digest = self.sums[name]
        with _archive(self.name, self.source) as archive:
            return b"".join(_checked(self.name, archive, archive.getinfo(FILES + name), digest))

    def extract(self, folder: Path) -> None:
        """Write the manifest and the plugin's files into a folder; it is made if it is not there.

        Raises:
            InvalidBundleError: the bundle was changed since it was opened.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_bytes(_json(self.manifest))
        with _archive(self.name, self.source) as archive:
            for name in self.names():
                target = folder / FILES / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    for chunk in _checked(self.name, archive, archive.getinfo(FILES + name), self.sums[name]):
                        file.write(chunk)
                target.chmod(0o755 if name in self.executables else 0o644)


def write_bundle(manifest: dict[str, object], files: dict[str, tuple[bytes, bool]], output: Path) -> Path:
    """Pack a manifest and files; the same input gives the same bytes, on any day and machine.

    Args:
        manifest: as from :func:`stoker_sdk.manifest.to_manifest`.
        files: path in the plugin's folder -> (bytes, whether it is executable).
        output: the folder for ``NAME-VERSION.stoker``.

    Raises:
        InvalidBundleError: a path leaves the bundle, or the bundle would be too large to be read again.
    """
    name = f"{manifest['name']}-{manifest['version']}{SUFFIX}"
    members: dict[str, tuple[bytes, bool]] = {MANIFEST: (_json(manifest), False)}
    for path, (data, executable) in files.items():
        _check_path(name, path)
        members[FILES + path] = (data, executable)
    sums = "".join(f"{hashlib.sha256(members[path][0]).hexdigest()}  {path}\n" for path in sorted(members))
    members[SUMS] = (sums.encode(), False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(members):
            data, executable = members[path]
            info = zipfile.ZipInfo(path, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            archive.writestr(info, data)
    data = buffer.getvalue()
    open_bundle(data, name=name)
    output.mkdir(parents=True, exist_ok=True)
    target = output / name
    target.write_bytes(data)
    return target


def open_bundle(source: Path | bytes, name: str = "") -> Bundle:
    """Read a bundle and check everything about it before anything of it is used.

    Raises:
        InvalidBundleError: it is broken, was changed, or is hostile; the rule says which.
    """
    name = name or ("bundle" if isinstance(source, bytes) else source.name)
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with _archive(name, source) as archive:
        infos = archive.infolist()
        _check_directory(name, infos)
        _check_sizes(name, infos, size)
        by_path = {info.filename: info for info in infos}
        kept: dict[str, bytes] = {
            path: b"".join(_chunks(name, archive, by_path[path])) for path in (SUMS, MANIFEST) if path in by_path
        }
        sums = _read_sums(name, kept, set(by_path))
        for path, digest in sums.items():
            for _ in _checked(name, archive, by_path[path], digest):
                pass
    manifest, plugin = _manifest(name, kept)
    return Bundle(
        manifest=manifest,
        plugin=plugin,
        digest=_digest(source),
        sums={path.removeprefix(FILES): digest for path, digest in sums.items() if path.startswith(FILES)},
        executables=frozenset(
            info.filename.removeprefix(FILES)
            for info in infos
            if info.filename.startswith(FILES) and (info.external_attr >> 16) & 0o100
        ),
        name=name,
        source=source,
    )


def _archive(bundle: str, source: Path | bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except _UNREADABLE as error:
        raise InvalidBundleError(bundle, "B001", f"it is not a whole zip archive: {error}") from error


def _digest(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(manifest: dict[str, object]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_path(bundle: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    bad = path.startswith("/") or "\\" in path or "\0" in path or ".." in parts or not parts or path != str(PurePosixPath(path))
    if bad or (len(path) > 1 and path[1] == ":"):
        raise InvalidBundleError(
            bundle, "B004", "the path leaves the bundle or is written in another way than needed", member=path
        )
    if len(path.encode()) > MAX_PATH or len(parts) > MAX_PARTS or any(len(part.encode()) > MAX_PART for part in parts):
        raise InvalidBundleError(
            bundle,
            "B004",
            f"the path is longer than {MAX_PATH} bytes or {MAX_PARTS} parts, or a part of it than {MAX_PART} bytes",
            member=f"{path[:80]}...",
        )


def _check_directory(bundle: str, infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MAX_MEMBERS:
        raise InvalidBundleError(bundle, "B006", f"it has {len(infos)} members, more than {MAX_MEMBERS}")
    seen: set[str] = set()
    for info in infos:
        # ZipInfo cuts names at a null byte; the original tells.
        _check_path(bundle, info.orig_filename)
        if info.filename in seen:
            raise InvalidBundleError(bundle, "B005", "it stands in the archive twice", member=info.filename)
        seen.add(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise InvalidBundleError(
                bundle, "B007", "only regular files may be in a bundle; links and folders may not", member=info.filename
            )
        if info.flag_bits & 0x1:
            raise InvalidBundleError(bundle, "B008", "it is encrypted", member=info.filename)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidBundleError(bundle, "B009", "it is packed in a way that bundles do not use", member=info.filename)
        if info.filename not in (MANIFEST, SUMS) and not info.filename.startswith(FILES):
            raise InvalidBundleError(bundle, "B003", "it does not belong into a bundle", member=info.filename)
    for path in seen:
        if folder := next((str(parent) for parent in PurePosixPath(path).parents if str(parent) in seen), None):
            raise InvalidBundleError(bundle, "B005", f"it is a file, and also the folder of {path}", member=folder)


def _check_sizes(bundle: str, infos: list[zipfile.ZipInfo], size: int) -> None:
    for info in infos:
        if info.file_size > _SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise InvalidBundleError(bundle, "B006", f"it unpacks to more than {MAX_RATIO} times its size", member=info.filename)
        if info.filename in (MANIFEST, SUMS) and info.file_size > MAX_LIST:
            raise InvalidBundleError(bundle, "B006", f"it is larger than {MAX_LIST} bytes", member=info.filename)
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL:
        raise InvalidBundleError(bundle, "B006", f"it unpacks to {total} bytes, more than {MAX_TOTAL}")
    if total > _SMALL and total > MAX_RATIO * size:
        raise InvalidBundleError(bundle, "B006", f"it unpacks to more than {MAX_RATIO} times its size")


def _chunks(bundle: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's bytes piece by piece; the size in the directory may lie."""
    left = info.file_size
    try:
        with archive.open(info) as member:
            while chunk := member.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except _UNREADABLE as error:
        raise InvalidBundleError(bundle, "B001", f"it cannot be read: {error}", member=info.filename) from error
    if left:
        raise InvalidBundleError(bundle, "B006", "it has another size than the archive says", member=info.filename)


def _checked(bundle: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, digest: str) -> Iterator[bytes]:
    """The same, held against its sum at the end."""
    found = hashlib.sha256()
    for chunk in _chunks(bundle, archive, info):
        found.update(chunk)
        yield chunk
    if found.hexdigest() != digest:
        raise InvalidBundleError(bundle, "B010", "its bytes are not those that were packed", member=info.filename)


def _read_sums(bundle: str, kept: dict[str, bytes], members: set[str]) -> dict[str, str]:
    """Path -> SHA-256 of every member but the list itself."""
    if SUMS not in kept:
        raise InvalidBundleError(bundle, "B002", "the list of sums is missing", member=SUMS)
    listed: dict[str, str] = {}
    try:
        lines = kept[SUMS].decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidBundleError(bundle, "B002", "the list of sums is not text", member=SUMS) from error
    for line in lines:
        match = _SUM_LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise InvalidBundleError(bundle, "B002", f"the list of sums has a line that does not fit: {line[:80]!r}", member=SUMS)
        listed[match[2]] = match[1]
    present = members - {SUMS}
    for path in sorted(set(listed) - present):
        raise InvalidBundleError(bundle, "B002", "it is in the list of sums but not in the bundle", member=path)
    for path in sorted(present - set(listed)):
        raise InvalidBundleError(bundle, "B003", "it is in the bundle but not in the list of sums", member=path)
    return listed


def _manifest(bundle: str, contents: dict[str, bytes]) -> tuple[dict[str, object], Plugin]:
    if MANIFEST not in contents:
        raise InvalidBundleError(bundle, "B002", "the manifest is missing", member=MANIFEST)
    try:
        manifest = json.loads(
            contents[MANIFEST].decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_number,
            parse_int=_integer,
            parse_float=_float,
        )
        _json(manifest)  # half of a surrogate pair cannot be written again
    except (ValueError, RecursionError) as error:
        raise InvalidBundleError(bundle, "B011", f"the manifest is not JSON: {error}", member=MANIFEST) from error
    if _depth(manifest) > MAX_DEPTH:
        raise InvalidBundleError(bundle, "B011", f"the manifest is nested more than {MAX_DEPTH} deep", member=MANIFEST)
    if not isinstance(manifest, dict):
        raise InvalidBundleError(bundle, "B011", "the manifest is not an object", member=MANIFEST)
    try:
        return manifest, read_manifest(manifest)
    except InvalidPluginError as error:
        raise InvalidBundleError(
            bundle, "B012", f"the manifest does not fit: {error}", member=MANIFEST, remedy="Mend the plugin."
        ) from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of a key that stands twice, readers would take different ones."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands twice in one object")
        found[key] = value
    return found


def _refuse_number(text: str) -> object:
    raise ValueError(f"{text[:40]} is not a number of JSON")


def _integer(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"the number {text[:40]} has more than 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _depth(value: object) -> int:
    """How many lists and maps stand inside each other."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, (dict, list)):
            deepest = max(deepest, depth)
            waiting += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest
