# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The launcher: a script between server and worker; sets limits, sees to it that the worker dies with the server, and becomes it.

It runs by its path with ``python -I -S`` and imports nothing but the standard library: it must start fast. Where there is no
bubblewrap, it makes the namespaces itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
KEYCTL_JOIN_SESSION_KEYRING = 1
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
NEW_ROOT = "/tmp"  # noqa: S108  a place to mount on, in a namespace of its own
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Do what the plan (JSON, the first word) says, then become the command that follows."""
    plan = json.loads(sys.argv[1])
    os.setsid()
    _die_with(plan["parent"])
    for members in plan.get("groups", ()):
        with open(members, "w") as group:
            group.write("0")
    _forget_keys()
    _stand_back(plan["nice"], plan["processors"])
    for name, value in plan["limits"].items():
        limit(getattr(resource, name), value)
    if plan.get("tend"):
        _tend()
    if (apart := plan.get("namespaces")) is not None:
        _go_apart(apart)
        limit(resource.RLIMIT_NPROC, plan["processes"])
    os.execve(sys.argv[2], sys.argv[2:], plan["environment"])  # noqa: S606  no shell is wanted


def limit(number: int, value: int) -> None:
    """Lower a limit."""
    hard = resource.getrlimit(number)[1]
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(number, (most, most))


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the server is gone")


def _stand_back(nice: int, processors: list[int]) -> None:
    """Leave processors to others, and lower the priority, also of the session: some systems share between sessions first."""
    if processors:
        os.sched_setaffinity(0, processors)
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))
    except OSError:
        return  # this system does not


def _forget_keys() -> None:
    """Keys that the kernel keeps for the server's session, e.g. Kerberos tickets: no namespace and no other user hides them."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:
        _LIBC.syscall(number, KEYCTL_JOIN_SESSION_KEYRING, None)  # a new one, with nothing; where the kernel has none, it fails


def _tend() -> None:
    """Stay behind as the parent of all that comes: what a worker forked ends with it, also where there are no namespaces."""
    _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: _end_all(128 + signal.SIGKILL))
    worker = os.fork()
    if not worker:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        return
    os.closerange(0, 3)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    while True:
        ended, status = os.wait()
        if ended == worker:
            _end_all(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _end_all(status: int) -> None:
    """End all descendants: whose parent ended becomes our child, so there is nothing left when there is no child."""
    me = os.getpid()
    while True:
        with open(f"/proc/{me}/task/{me}/children") as children:
            for child in children.read().split():
                os.kill(int(child), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            os._exit(status)


def _go_apart(apart: dict[str, object]) -> None:
    """Namespaces, a view, and a user who has nothing; three processes are left: this one waits, the first of the new ones tends,
    the second one returns from here.
    """
    user, root = int(str(apart["user"])), bool(apart["root"])
    flags = int(str(apart["flags"]))
    _check(_LIBC.unshare(flags), "unshare")
    if not root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {os.getuid()} 1"), ("gid_map", f"{user} {os.getgid()} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    first = os.fork()
    if first:
        _wait_for(first)
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _look(apart["mounts"])  # type: ignore[arg-type]
    os.chdir("/tmp")  # noqa: S108  its own
    second = os.fork()
    if second:
        _wait_for(second)
    if root:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _check(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _wait_for(child: int) -> None:
    """Tend what becomes an orphan, and end as the child ends."""
    os.closerange(0, 3)
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _look(mounts: list[dict[str, object]]) -> None:
    """Put the view together and forget everything else."""
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m")
    old = f"{NEW_ROOT}/.old"
    os.mkdir(old)
    _check(_LIBC.syscall(_PIVOT_ROOT[os.uname().machine], NEW_ROOT.encode(), old.encode()), "pivot_root")
    os.chdir("/")
    for one in mounts:
        _see(str(one["kind"]), str(one.get("source", "")), str(one["target"]), int(str(one.get("size", 0))))
    _check(_LIBC.umount2(b"/.old", MNT_DETACH), "umount")
    os.rmdir("/.old")
    _mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _see(kind: str, source: str, target: str, size: int) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if kind == "link":
        os.symlink(source, target)
    elif kind == "read":
        _bind(source, target)
        _read_only(target)
    elif kind == "tmpfs":
        os.makedirs(target, exist_ok=True)
        _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={size}")
    elif kind == "processes":
        os.makedirs(target, exist_ok=True)
        _mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    else:
        os.makedirs(target, exist_ok=True)
        for name in ("null", "zero", "full", "random", "urandom"):
            _bind(f"/dev/{name}", f"{target}/{name}")
        for name, to in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            os.symlink(to, f"{target}/{name}")


def _bind(source: str, target: str) -> None:
    source = f"/.old{source}"
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, MS_BIND | MS_REC)


def _read_only(target: str) -> None:
    """Flags that the mount has already must be kept in a user namespace."""
    there = os.statvfs(target).f_flag
    kept = there & (os.ST_NOEXEC | os.ST_NODEV | os.ST_NOSUID | os.ST_NOATIME | os.ST_NODIRATIME | os.ST_RELATIME)
    flags = {os.ST_NOEXEC: MS_NOEXEC, os.ST_NODEV: MS_NODEV, os.ST_NOSUID: MS_NOSUID}
    flags |= {os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}
    more = sum(flag for bit, flag in flags.items() if kept & bit)
    _mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | more | MS_NOSUID)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    made = _LIBC.mount(
        source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode() or None
    )
    _check(made, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

if __name__ == "__main__":
    main()
