# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The caching package proxy: nodes have no route out and get their packages through it."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from stoker_lab import layout, programs
from stoker_lab.errors import LabError

SUPPORT = "/usr/lib/apt-cacher-ng"


def configure(place: layout.Layout, record: layout.LabRecord) -> None:
    """Write the proxy's configuration and give it the packages that earlier labs fetched."""
    lines = [
        f"CacheDir: {place.proxy}/cache",
        f"LogDir: {place.proxy}/log",
        f"SupportDir: {SUPPORT}",
        f"BindAddress: {record.subnet}.1",
        f"Port: {layout.PROXY_PORT}",
        "ForceManaged: 1",
        "ExThreshold: 400",
        *(f"Remap-{path}: /{path} ; {mirror}" for path, mirror in record.mirrors.items() if mirror),
    ]
    if record.upstream_proxy:
        lines.append(f"Proxy: {record.upstream_proxy}")
    layout.write(place.proxy / "acng.conf", "\n".join(lines) + "\n")
    for name in ("cache", "log"):
        (place.proxy / name).mkdir(exist_ok=True)
    _copy_packages(_kept(record), place.proxy / "cache")


def command(place: layout.Layout) -> list[str]:
    """The proxy's command line."""
    return [programs.find_program("apt-cacher-ng") or "apt-cacher-ng", "-c", str(place.proxy), "ForeGround=1"]


def keep_packages(place: layout.Layout, record: layout.LabRecord) -> None:
    """Keep what was fetched for the next lab; each lab has a cache of its own because the proxy does not share one."""
    _copy_packages(place.proxy / "cache", _kept(record))


def _kept(record: layout.LabRecord) -> Path:
    return Path(record.cache) / "packages"


def _copy_packages(source: Path, target: Path) -> None:
    """Link whole package files (never indexes, which change) with the proxy's note on each."""
    for package in source.glob("**/*.deb"):
        note = package.with_name(package.name + ".head")
        destination = target / package.relative_to(source)
        if destination.exists() or not _is_whole(package, note):
            continue
        destination.parent.mkdir(parents=True, exist_ok=True)
        for path in (note, package):
            place = destination.with_name(path.name)
            place.unlink(missing_ok=True)
            try:
                place.hardlink_to(path)
            except OSError:
                # another file system
                shutil.copy2(path, place)


def _is_whole(package: Path, note: Path) -> bool:
    if not note.exists():
        return False
    fields = dict(line.lower().split(": ", 1) for line in note.read_text(errors="replace").splitlines() if ": " in line)
    return fields.get("content-length", "").strip() == str(package.stat().st_size)


def wait(place: layout.Layout, record: layout.LabRecord, timeout: float = 15) -> None:
    """Wait until the proxy answers.

    Raises:
        LabError: it does not.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((f"{record.subnet}.1", layout.PROXY_PORT), timeout=1):
                return
        except OSError as error:
            if time.monotonic() > end:
                log = place.folder / "power.log"
                said = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise LabError(
                    f"The package proxy of lab {record.name} does not answer within {timeout:.0f} s. {said}"
                ) from error
            time.sleep(0.05)
