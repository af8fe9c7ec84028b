# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: the one file in which a plugin travels; written deterministically, read with distrust."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
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
"""How much larger than its packed form a member above 1 MiB may be."""

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
    members: dict[str, bytes]
    """Every file of the plugin by its path in the plugin's folder."""
    executables: frozenset[str] = frozenset()
    """Those of them that are marked executable."""

    def names(self) -> list[str]:
        """The paths of the plugin's files, sorted."""
        return sorted(self.members)

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises KeyError if the bundle has no such file."""
        return self.members[name]

    def extract(self, folder: Path) -> None:
        """Write the manifest and the plugin's files into a folder; it is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_bytes(_json(self.manifest))
        for name in self.names():
            target = folder / FILES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.members[name])
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
    data = source if isinstance(source, bytes) else source.read_bytes()
    name = name or ("bundle" if isinstance(source, bytes) else source.name)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise InvalidBundleError(name, "B001", f"it is not a whole zip archive: {error}") from error
    with archive:
        infos = archive.infolist()
        _check_directory(name, infos)
        contents = {info.filename: _read_member(name, archive, info) for info in infos}
    _check_sums(name, contents)
    manifest, plugin = _manifest(name, contents)
    return Bundle(
        manifest=manifest,
        plugin=plugin,
        digest=hashlib.sha256(data).hexdigest(),
        members={path.removeprefix(FILES): content for path, content in contents.items() if path.startswith(FILES)},
        executables=frozenset(
            info.filename.removeprefix(FILES)
            for info in infos
            if info.filename.startswith(FILES) and (info.external_attr >> 16) & 0o100
        ),
    )


def _json(manifest: dict[str, object]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_path(bundle: str, path: str) -> None:
    parts = PurePosixPath(path).parts
    bad = path.startswith("/") or "\\" in path or "\0" in path or ".." in parts or not parts or path != str(PurePosixPath(path))
    if bad or (len(path) > 1 and path[1] == ":"):
        raise InvalidBundleError(
            bundle, "B004", "the path leaves the bundle or is written in another way than needed", member=path
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
        if info.file_size > 1024 * 1024 and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise InvalidBundleError(bundle, "B006", f"it unpacks to more than {MAX_RATIO} times its size", member=info.filename)
        if info.filename not in (MANIFEST, SUMS) and not info.filename.startswith(FILES):
            raise InvalidBundleError(bundle, "B003", "it does not belong into a bundle", member=info.filename)
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL:
        raise InvalidBundleError(bundle, "B006", f"it unpacks to {total} bytes, more than {MAX_TOTAL}")


def _read_member(bundle: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as member:
            # The size in the directory may lie: read one byte more than it says.
            data = member.read(info.file_size + 1)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, zlib.error) as error:
        raise InvalidBundleError(bundle, "B001", f"it cannot be read: {error}", member=info.filename) from error
    if len(data) != info.file_size:
        raise InvalidBundleError(bundle, "B006", "it is larger than the archive says", member=info.filename)
    return data


def _check_sums(bundle: str, contents: dict[str, bytes]) -> None:
    if SUMS not in contents:
        raise InvalidBundleError(bundle, "B002", "the list of sums is missing", member=SUMS)
    listed: dict[str, str] = {}
    try:
        lines = contents[SUMS].decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidBundleError(bundle, "B002", "the list of sums is not text", member=SUMS) from error
    for line in lines:
        match = _SUM_LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise InvalidBundleError(bundle, "B002", f"the list of sums has a line that does not fit: {line[:80]!r}", member=SUMS)
        listed[match[2]] = match[1]
    present = set(contents) - {SUMS}
    for path in sorted(set(listed) - present):
        raise InvalidBundleError(bundle, "B002", "it is in the list of sums but not in the bundle", member=path)
    for path in sorted(present - set(listed)):
        raise InvalidBundleError(bundle, "B003", "it is in the bundle but not in the list of sums", member=path)
    for path, digest in listed.items():
        if hashlib.sha256(contents[path]).hexdigest() != digest:
            raise InvalidBundleError(bundle, "B010", "its bytes are not those that were packed", member=path)


def _manifest(bundle: str, contents: dict[str, bytes]) -> tuple[dict[str, object], Plugin]:
    if MANIFEST not in contents:
        raise InvalidBundleError(bundle, "B002", "the manifest is missing", member=MANIFEST)
    try:
        manifest = json.loads(contents[MANIFEST])
    except (ValueError, RecursionError) as error:
        raise InvalidBundleError(bundle, "B011", f"the manifest is not JSON: {error}", member=MANIFEST) from error
    if not isinstance(manifest, dict):
        raise InvalidBundleError(bundle, "B011", "the manifest is not an object", member=MANIFEST)
    try:
        return manifest, read_manifest(manifest)
    except InvalidPluginError as error:
        raise InvalidBundleError(
            bundle, "B012", f"the manifest does not fit: {error}", member=MANIFEST, remedy="Mend the plugin."
        ) from error
