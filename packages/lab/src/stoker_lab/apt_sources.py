# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The Debian mirrors that this machine itself uses, read from its own apt configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stoker_lab import layout, programs
from stoker_lab.errors import LabError, LabMissingError

APT = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


class _Source(msgspec.Struct, frozen=True):
    uri: str
    suites: frozenset[str]
    components: frozenset[str]


def _deb822(text: str) -> Iterator[_Source]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        fields = {
            key.strip().lower(): value.split()
            for key, separator, value in (line.partition(":") for line in re.sub(r"\n\s+", " ", "\n".join(lines)).splitlines())
            if separator
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"]) == ["no"]:
            continue
        for uri in fields.get("uris", []):
            yield _Source(uri.rstrip("/"), frozenset(fields.get("suites", [])), frozenset(fields.get("components", [])))


def _one_line(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        if match := ONE_LINE.match(line.strip()):
            uri, suite, components = match.groups()
            yield _Source(uri.rstrip("/"), frozenset({suite}), frozenset(components.partition("#")[0].split()))


def _sources(folder: Path) -> Iterator[_Source]:
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        yield from _deb822(path.read_text())
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        if path.exists():
            yield from _one_line(path.read_text())


def _codename(os_release: Path) -> str:
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)"?', os_release.read_text() if os_release.exists() else "", re.MULTILINE)
    return match.group(1) if match else ""


def _apt_proxy() -> str:
    if programs.find_program("apt-config") is None:
        return ""
    try:
        said = programs.run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"])
    except LabError:
        return ""
    match = re.search(r"proxy='([^']*)'", said)
    return match.group(1) if match and match.group(1) != "DIRECT" else ""


def read_archives(folder: Path = APT, os_release: Path = OS_RELEASE) -> layout.Archives:
    """Find the Debian mirrors in an apt configuration.

    Args:
        folder: the apt configuration.
        os_release: names this machine's own release, whose sources are looked for.

    Returns:
        The first archive of this machine's release and the first security archive.

    Raises:
        LabMissingError: there is no Debian archive in it.
    """
    codename = _codename(os_release)
    main = security = ""
    for source in _sources(folder):
        if "main" not in source.components or not source.uri.startswith(("http://", "https://")):
            continue
        main = main or (source.uri if codename in source.suites else "")
        security = security or (source.uri if f"{codename}-security" in source.suites else "")
    if not codename or not main:
        raise LabMissingError(
            f"The apt sources in {folder} name no Debian archive for this machine's release ({codename or 'unknown'}).",
            remedy="Lab nodes are made from this machine's own Debian mirror: run the lab on Debian.",
        )
    return layout.Archives(mirrors={"debian": main, "debian-security": security}, upstream_proxy=_apt_proxy())
