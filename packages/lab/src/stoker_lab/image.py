# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The node's file tree: made once with debootstrap from this machine's mirror, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from stoker_lab import layout, package_proxy, programs

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3-minimal", "iproute2", "iputils-ping", "ca-certificates",
    "procps", "netbase", "less", "sudo", "kmod",
)  # fmt: skip
GATEWAY = "lab-gateway"
# Units that make no sense without hardware, a console or a route out.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty.service", "dev-hugepages.mount", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty.target", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-logind.service", "systemd-modules-load.service", "systemd-networkd.service",
    "systemd-pstore.service", "systemd-remount-fs.service", "systemd-udevd.service",
)  # fmt: skip
FILES = {
    "etc/apt/sources.list": "".join(
        f"deb http://{GATEWAY}:{layout.PROXY_PORT}/{path} {suite} main\n"
        for path, suite in (("debian", SUITE), ("debian", f"{SUITE}-updates"), ("debian-security", f"{SUITE}-security"))
    ),
    "etc/apt/apt.conf.d/99lab": (
        'Acquire::Languages "none";\nAcquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n'
        # a mirror that says nothing is asked again, not waited for
        'Acquire::PDiffs "false";\nAcquire::http::Timeout "30";\nAcquire::Retries "5";\nAcquire::GzipIndexes "true";\n'
        'APT::Install-Recommends "false";\nDpkg::Options { "--force-confdef"; "--force-confold"; };\n'
    ),
    "etc/dpkg/dpkg.cfg.d/lab": (
        "force-unsafe-io\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\npath-exclude=/usr/share/doc/*\n"
    ),
    "etc/ssh/sshd_config.d/lab.conf": (
        "PermitRootLogin prohibit-password\nUseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\nMaxStartups 100\n"
    ),
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n",
    # Nodes have no right to set the clock: chrony must start all the same, and leave the clock alone.
    "etc/systemd/system/chrony.service.d/lab.conf": (
        "[Unit]\nConditionCapability=\n[Service]\nEnvironmentFile=\nEnvironment=DAEMON_OPTS=-x\n"
    ),
    "etc/machine-id": "",
    "etc/resolv.conf": "",
}
USELESS = ("usr/share/locale", "usr/share/man", "usr/share/doc", "var/cache/apt/archives", "var/lib/apt/lists")
Progress = Callable[[str], None]


def cache_folder() -> Path:
    """Where images and packages are kept between labs: $STOKER_LAB_CACHE or /var/cache/stoker-lab."""
    return Path(os.environ.get("STOKER_LAB_CACHE") or "/var/cache/stoker-lab").absolute()


def image_name() -> str:
    """The image's name; another recipe makes another image."""
    recipe = repr((SUITE, PACKAGES, MASKED, sorted(FILES.items()), USELESS))
    return f"debian-{SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:10]}"


def base_image(cache: Path, archives: layout.Archives, progress: Progress) -> Path:
    """The folder of the base image, made now if the cache does not have it.

    Args:
        cache: the cache folder.
        archives: where packages come from.
        progress: told what takes long.

    Raises:
        LabError: debootstrap failed; nothing is left of the attempt.
    """
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / image_name()
    with layout.locked(cache):
        if image.exists():
            return image
        progress("making the base image of the nodes, once (about a minute)")
        unfinished = cache / f"{image.name}.unfinished"
        _discard(unfinished)
        try:
            with package_proxy.running(archives, cache) as port:
                _debootstrap(unfinished, port)
                adapt(unfinished)
                _fetch_lists(unfinished, port, whole=all(archives.mirrors.values()))
            unfinished.rename(image)
        finally:
            _discard(unfinished)
    return image


def _discard(folder: Path) -> None:
    """Delete an unfinished image; a debootstrap that was killed left kernel file systems mounted in it, which must go first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        programs.run(["umount", "-l", point])
    shutil.rmtree(folder, ignore_errors=True)


def _debootstrap(folder: Path, port: int) -> None:
    mirror = f"http://127.0.0.1:{port}/debian"
    programs.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(folder), mirror], timeout=1200
    )


def _fetch_lists(folder: Path, port: int, *, whole: bool) -> None:
    """Give the image package lists, so that no node has to fetch them before its first installation."""
    options = [
        f"Acquire::http::Proxy::{GATEWAY}=http://127.0.0.1:{port}",
        f"APT::Update::Error-Mode={'any' if whole else 'persistent-failure'}",
    ]
    flags = [part for option in options for part in ("-o", option)]
    programs.run(["chroot", str(folder), "apt-get", "-q", *flags, "update"], timeout=600)


def adapt(folder: Path) -> None:
    """Make a plain Debian tree the tree of a lab node."""
    for name in USELESS:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    for path in folder.glob("etc/ssh/ssh_host_*"):
        path.unlink()
    for name, content in FILES.items():
        (folder / name).unlink(missing_ok=True)
        layout.write(folder / name, content)
    units = folder / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
