# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Debian packages: the control file of a ``.deb``, with limits for everything that an archive may blow up."""

from __future__ import annotations

import io
import lzma
import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from stoker_sdk.archives.identity import ArchiveError, Identity

MAX_PACKED: Final = 8 * 1024 * 1024
"""Bytes that the control archive may have."""
MAX_UNPACKED: Final = 32 * 1024 * 1024
"""Bytes that it may unpack to."""
MAX_CONTROL: Final = 1024 * 1024
"""Bytes that the control file may have."""
MAX_MEMBERS: Final = 1000
"""Files of the control archive that are looked at until the control file comes."""

_AGAIN: Final = "Build the package again with dpkg-deb."
_MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60
_SECONDS: Final = 20
_CONTROLS: Final = frozenset({*range(9), *range(10, 32), 127})
_FIELD: Final = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION: Final = re.compile(r"([0-9]+:)?[0-9][A-Za-z0-9.+~:-]*")
_ARCHITECTURE: Final = re.compile(r"[a-z0-9][a-z0-9-]*")


def read_deb(path: Path) -> Identity:
    """What a ``.deb`` says of itself. Raises ArchiveError, OSError or ValueError."""
    with path.open("rb") as file:
        name, packed = _control_archive(file)
    unpack = _UNPACK.get(name.removeprefix("control.tar"))
    if unpack is not None:
        data = unpack(packed)
    elif name == "control.tar.zst":
        data = _by_dpkg(path)
    else:
        raise ArchiveError(f"its control archive {name!r} is packed in an unknown way", _AGAIN)
    fields = _fields(_control_file(data))
    by_name = {key.lower(): value for key, value in fields}
    for key, pattern in (("package", _NAME), ("version", _VERSION), ("architecture", _ARCHITECTURE)):
        if not pattern.fullmatch(by_name.get(key, "")):
            raise ArchiveError(f"its control file has no valid field {key.capitalize()}: {by_name.get(key, '')[:80]!r}", _AGAIN)
    return Identity(name=by_name["package"], version=by_name["version"], architecture=by_name["architecture"], control=fields)


def _control_archive(file: BinaryIO) -> tuple[str, bytes]:
    """The second member of the ar archive: its name and its bytes."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ArchiveError("it is no Debian package", _AGAIN)
    first, version = _member(file)
    if first != "debian-binary" or not version.startswith(b"2."):
        raise ArchiveError("it is no Debian package of format 2", _AGAIN)
    name, data = _member(file)
    if not name.startswith("control.tar"):
        raise ArchiveError(f"its second member is {name[:40]!r} instead of the control archive", _AGAIN)
    return name, data


def _member(file: BinaryIO) -> tuple[str, bytes]:
    header = file.read(_HEADER)
    if len(header) != _HEADER or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
        raise ArchiveError("it ends too early, or is damaged", _AGAIN)
    size = int(header[48:58])
    if size > MAX_PACKED:
        raise ArchiveError(f"its control archive is larger than {MAX_PACKED} bytes", _AGAIN)
    data = file.read(size + size % 2)
    if len(data) < size:
        raise ArchiveError("it ends too early", _AGAIN)
    return header[:16].decode("ascii", "replace").strip().rstrip("/"), data[:size]


def _gunzip(packed: bytes) -> bytes:
    try:
        reader = zlib.decompressobj(wbits=31)
        return _whole(_limited(reader.decompress(packed, MAX_UNPACKED + 1)), whole=reader.eof)
    except zlib.error as error:
        raise ArchiveError(f"its control archive cannot be unpacked: {error}", _AGAIN) from error


def _unxz(packed: bytes) -> bytes:
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=128 * 1024 * 1024)
        return _whole(_limited(reader.decompress(packed, MAX_UNPACKED + 1)), whole=reader.eof)
    except lzma.LZMAError as error:
        raise ArchiveError(f"its control archive cannot be unpacked: {error}", _AGAIN) from error


def _whole(data: bytes, *, whole: bool) -> bytes:
    if not whole:
        raise ArchiveError("its control archive cannot be unpacked: it ends too early", _AGAIN)
    return data


def _limited(data: bytes) -> bytes:
    if len(data) > MAX_UNPACKED:
        raise ArchiveError(f"its control archive unpacks to more than {MAX_UNPACKED} bytes", _AGAIN)
    return data


_UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {"": _limited, ".gz": _gunzip, ".xz": _unxz}


def _by_dpkg(path: Path) -> bytes:
    """A control archive packed with zstd, which Python cannot unpack."""
    program = shutil.which("dpkg-deb")
    if program is None:
        raise ArchiveError(
            "its control archive is packed with zstd, and dpkg-deb, which could unpack it, is not on this machine",
            "Install dpkg, or build the package with 'dpkg-deb -Zxz'.",
        )
    with subprocess.Popen(
        [program, "--ctrl-tarfile", str(path.resolve())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        data = child.stdout.read(MAX_UNPACKED + 1)
        child.stdout.close()
        if len(data) > MAX_UNPACKED:
            child.kill()
        try:
            status = child.wait(_SECONDS)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise ArchiveError(f"dpkg-deb did not unpack it within {_SECONDS} s", _AGAIN) from error
    data = _limited(data)
    if status:
        raise ArchiveError("dpkg-deb cannot unpack its control archive", "Build the package with 'dpkg-deb -Zxz'.")
    return data


def _control_file(data: bytes) -> str:
    """The file ``control`` of the tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, info in enumerate(archive):
                if number > MAX_MEMBERS:
                    break
                if info.name.removeprefix("./") == "control" and info.isreg():
                    if info.size > MAX_CONTROL:
                        raise ArchiveError(f"its control file is larger than {MAX_CONTROL} bytes", _AGAIN)
                    found = archive.extractfile(info)
                    return found.read().decode() if found is not None else ""
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise ArchiveError(f"its control archive cannot be read: {error}", _AGAIN) from error
    raise ArchiveError("it has no control file", _AGAIN)


def _fields(text: str) -> tuple[tuple[str, str], ...]:
    """The fields of the one paragraph, continuation lines with them; a field that stands twice would be read differently."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for line in text.rstrip("\n").split("\n"):
        if any(ord(char) in _CONTROLS for char in line):
            raise ArchiveError(f"its control file has a line with control characters: {line[:80]!r}", _AGAIN)
        if line[:1] in (" ", "\t") and line.strip() and found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")
            continue
        match = _FIELD.fullmatch(line)
        if match is None or match[1].startswith(("#", "-")) or match[1].lower() in seen:
            raise ArchiveError(f"its control file has a line that is no field, or stands twice: {line[:80]!r}", _AGAIN)
        seen.add(match[1].lower())
        found.append((match[1], match[2].rstrip()))
    return tuple(found)
