# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The caching package proxy: nodes have no route out and get their packages through it."""

from __future__ import annotations

import contextlib
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from stoker_lab import layout, programs
from stoker_lab.errors import LabError

PROGRAM = "apache2"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk", "socache_shmcb", "ssl")
USER = "nobody"
# What lies under these names in an archive never changes; everything else is asked for anew after a minute.
FOR_EVER = "(/pool/|/by-hash/)"
YEAR = 365 * 24 * 3600
MINUTE = 60
# Seconds without a byte from the archive, after which a fetch has failed and apt tries again.
SILENCE = 20


def configure(folder: Path, address: str, port: int, archives: layout.Archives, cache: Path) -> None:
    """Write the proxy's configuration; what it fetches is kept in the cache, which all labs share.

    Args:
        folder: gets the configuration, the log and the notes of the running proxy.
        address: where it listens.
        port: its port there.
        archives: what it stands for.
        cache: the cache folder of the labs.

    Raises:
        LabError: the cache lies where the proxy, which gives up root's rights, cannot go.
    """
    kept = _cache_of_packages(cache)
    (folder / "run").mkdir(parents=True, exist_ok=True)
    lines = [
        f"ServerRoot {folder}",
        f"DefaultRuntimeDir {folder}/run",
        f"Mutex file:{folder}/run",
        "PidFile run/pid",
        f"ErrorLog {folder}/error.log",
        f"Listen {address}:{port}",
        "ServerName lab-gateway",
        "UseCanonicalName On",
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED),
        f"User {USER}",
        f"Group #{pwd.getpwnam(USER).pw_gid}",
        "StartServers 1",
        "ServerLimit 2",
        "ThreadsPerChild 64",
        "MaxRequestWorkers 128",
        "TraceEnable off",
        f"ProxyTimeout {SILENCE}",
        "SSLProxyEngine On",
        "SSLProxyVerify require",
        "SSLProxyCACertificateFile /etc/ssl/certs/ca-certificates.crt",
        f"CacheRoot {kept}",
        f"CacheLockPath {kept}/locks",
        "CacheLock On",
        "CacheQuickHandler Off",
        "CacheMaxFileSize 4000000000",
        "CacheIgnoreCacheControl On",
        "CacheIgnoreNoLastMod On",
        "CacheIgnoreHeaders Set-Cookie",
        "CacheStoreNoStore On",
        "CacheStorePrivate On",
        f"CacheDefaultExpire {MINUTE}",
        f"CacheMaxExpire {MINUTE}",
        "CacheEnable disk /",
        f'<LocationMatch "{FOR_EVER}">',
        *(f"{name} {YEAR}" for name in ("CacheMinExpire", "CacheDefaultExpire", "CacheMaxExpire")),
        "</LocationMatch>",
        *_passes(archives.mirrors),
    ]
    if archives.upstream_proxy:
        lines.append(f"ProxyRemote * {archives.upstream_proxy}")
    layout.write(folder / "httpd.conf", "\n".join(lines) + "\n")


def _cache_of_packages(cache: Path) -> Path:
    kept = cache / "packages"
    kept.mkdir(parents=True, exist_ok=True)
    user = pwd.getpwnam(USER)
    for folder in kept.parents:
        if not folder.stat().st_mode & 0o001:
            raise LabError(
                f"The lab's cache {cache} lies in {folder}, which other users may not enter; the package proxy runs as {USER}.",
                remedy="Set STOKER_LAB_CACHE to a folder that everybody may enter, or unset it.",
            )
    for folder in (kept, kept / "locks"):
        folder.mkdir(exist_ok=True)
        layout.own(folder, user.pw_uid, user.pw_gid)
    return kept


def _passes(mirrors: Mapping[str, str]) -> list[str]:
    """A line for each archive: the longest address first, so that none is taken for the beginning of another's."""
    known = sorted(((path, mirror) for path, mirror in mirrors.items() if mirror), key=lambda one: len(one[1]), reverse=True)
    return [f"ProxyPass /{path}/ {mirror}/ retry=0 connectiontimeout=10" for path, mirror in known]


def command(folder: Path) -> list[str]:
    """The proxy's command line."""
    return [programs.find_program(PROGRAM) or PROGRAM, "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND"]


@contextlib.contextmanager
def running(archives: layout.Archives, cache: Path) -> Iterator[int]:
    """A proxy on a free port of loopback, for as long as an image is made.

    Yields:
        The port.

    Raises:
        LabError: it does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="stoker-lab-proxy-") as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        configure(folder, "127.0.0.1", port, archives, cache)
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(command(folder), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            wait(folder / "said", "127.0.0.1", port)
            yield port
        finally:
            process.terminate()
            process.wait()


def wait(log: Path, address: str, port: int, timeout: float = 15) -> None:
    """Wait until the proxy answers.

    Raises:
        LabError: it does not; says what the log holds.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((address, port), timeout=1):
                return
        except OSError as error:
            if time.monotonic() > end:
                said = log.read_text(errors="replace")[-1000:] if log.exists() else ""
                raise LabError(f"The package proxy at {address}:{port} does not answer within {timeout:.0f} s. {said}") from error
            time.sleep(0.05)
