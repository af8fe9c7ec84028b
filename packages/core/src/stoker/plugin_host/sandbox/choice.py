# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of a sandbox: the best that works on this machine, found by trying it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec
from stoker_sdk.worker.protocol import CORE_SOCKET

from stoker.errors import StokerError
from stoker.plugin_host.sandbox import control_groups
from stoker.plugin_host.sandbox.bubblewrap import plan_bubblewrap
from stoker.plugin_host.sandbox.control_groups import ControlGroups, Group
from stoker.plugin_host.sandbox.limits import PROCESSES, worker_command
from stoker.plugin_host.sandbox.namespaces import plan_namespaces
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.sandbox.unconfined import plan_unconfined
from stoker.plugin_host.sandbox.users import FIRST, LAST, WorkerUsers
from stoker.plugin_host.worker_code import WorkerCode

_LOG = logging.getLogger(__name__)
Kind = Literal["bubblewrap", "namespaces", "none"]
KINDS: Final[tuple[Kind, ...]] = ("bubblewrap", "namespaces")
_PATIENCE: Final = 10.0
_SEEN: Final = b"apart"


class UnconfinedError(StokerError):
    """Plugins' code does not run, because no sandbox works here and nobody allowed to go without."""

    status = 503
    kind = "no-sandbox"


class Sandbox:
    """Says how workers are started; safe for threads."""

    def __init__(self, run: Path, *, share: float, allow_unconfined: bool, kinds: tuple[Kind, ...] = KINDS) -> None:
        """Nothing is tried yet.

        Args:
            run: where private folders are.
            share: of the processors, for all workers together.
            allow_unconfined: whether workers run without a sandbox where none works.
            kinds: what may be tried, the best first.
        """
        self._run = run
        self._share = share
        self._allow_unconfined = allow_unconfined
        self._kinds = kinds
        self._root = os.geteuid() == 0
        begin = FIRST + int.from_bytes(hashlib.sha256(os.fsencode(run)).digest()[:4]) % (LAST - FIRST + 1)
        self._users = WorkerUsers(begin)
        self._lock = threading.Lock()
        self._kind: Kind | None = None
        self._why: dict[str, str] = {}
        self._groups: ControlGroups | None = None

    @property
    def why(self) -> dict[str, str]:
        """Why those that do not work do not."""
        return dict(self._why)

    @property
    def limits(self) -> list[str]:
        """What control groups limit; without them, each process by itself is limited."""
        return self._groups.controllers if self._groups is not None else []

    def find(self) -> str:
        """Try what there is, once; takes some hundredths of a second."""
        return self._found()

    def _found(self) -> Kind:
        with self._lock:
            if self._kind is not None:
                return self._kind
            self._groups = control_groups.find(str(self._run), self._share)
            kind: Kind = next((kind for kind in self._kinds if self._works(kind)), "none")
            self._kind = kind
            _LOG.info("sandbox of plugins' code: %s; control groups: %s", kind, ", ".join(self.limits) or "none")
            return kind

    def plan(self, plugin: str, version: str, code: WorkerCode) -> Start:
        """How a worker is started here.

        Raises:
            UnconfinedError: no sandbox works here, and nobody allowed to go without.
        """
        kind = self._found()
        if kind == "none" and not self._allow_unconfined:
            reasons = "; ".join(f"{name}: {why}" for name, why in self._why.items())
            raise UnconfinedError(
                f"plugin {plugin} {version}: its code does not run, because no sandbox works on this machine ({reasons}).",
                remedy="Install bubblewrap and allow user namespaces, or start the server with --allow-unconfined-plugins.",
            )
        user = self._users.take() if self._root and kind != "none" else os.geteuid()
        try:
            made = self._plan(kind, code, user)
        except BaseException:
            self._users.give_back(user)
            raise
        return made

    def finished(self, start: Start) -> None:
        """Nothing of a worker is left: what was kept for it is free again."""
        if start.user is not None:
            self._users.give_back(start.user)

    def close(self) -> None:
        """Delete what all workers shared."""
        if self._groups is not None:
            self._groups.close()

    def _plan(self, kind: Kind, code: WorkerCode, user: int) -> Start:
        group = self._group(code, user)
        code = msgspec.structs.replace(code, processors=processors_of(self._share))
        members = group.members if group is not None else []
        if kind == "bubblewrap":
            made = plan_bubblewrap(_bubblewrap(), self._run, code, user, root=self._root, groups=members)
        elif kind == "namespaces":
            made = plan_namespaces(self._run, code, user, root=self._root, groups=members)
        else:
            made = plan_unconfined(self._run, code, members)
        return msgspec.structs.replace(made, group=group)

    def _group(self, code: WorkerCode, user: int) -> Group | None:
        if self._groups is None:
            return None
        try:
            return self._groups.make(f"{user}-{os.urandom(3).hex()}", code.memory, PROCESSES)
        except OSError as error:
            _LOG.warning("a worker gets no control group: %s", error)
            return None

    def _works(self, kind: Kind) -> bool:
        """Whether a worker's own interpreter starts in it and cannot see what is outside."""
        needed = {"bubblewrap": ["bwrap", "prlimit", "setpriv"], "namespaces": []}[kind]
        missing = [name for name in needed if shutil.which(name) is None]
        if sys.platform != "linux" or missing:
            self._why[kind] = f"there is no {', '.join(missing)}" if missing else "this is not Linux"
            return False
        self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        # among the server's own files: where these lie in what every worker sees, e.g. below /usr, none is apart from them
        with tempfile.TemporaryDirectory(prefix="try-", dir=self._run) as folder:
            secret = Path(folder) / "outside"
            secret.touch()
            code = WorkerCode(python=Path(sys.executable), entry="")
            make: _Make = partial(plan_bubblewrap, _bubblewrap()) if kind == "bubblewrap" else plan_namespaces
            try:
                told = _try(make, Path(folder), code, self._users.take() if self._root else os.geteuid(), self._root, secret)
            except (OSError, subprocess.SubprocessError) as error:
                told = str(error)
        if told:
            self._why[kind] = told
        return not told


def processors_of(share: float) -> tuple[int, ...]:
    """The processors of workers: their share, one at least, the last ones; what is left always waits for the server's answers."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    ours = sorted(os.sched_getaffinity(0))
    return tuple(ours[-max(1, round(len(ours) * share)) :])


def _bubblewrap() -> str:
    return shutil.which("bwrap") or "bwrap"


def _try(make: _Make, folder: Path, code: WorkerCode, user: int, root: bool, secret: Path) -> str:
    """Start the interpreter as a worker's; answers what is wrong with that."""
    start = make(folder, code, user, root=root, groups=[])
    (start.folder / CORE_SOCKET).touch()
    ask = f"import os; print('apart' if os.getuid() == {user} and not os.path.exists({str(secret)!r}) else 'not apart')"
    words = [*start.command[: -len(worker_command(code, start.folder))], str(code.python), "-I", "-S", "-c", ask]
    done = subprocess.run(words, capture_output=True, check=False, timeout=_PATIENCE, stdin=subprocess.DEVNULL, env={})
    if done.stdout.strip() == _SEEN:
        return ""
    said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().rpartition("\n")[2]
    return said[:200] or f"exit status {done.returncode}"


class _Make(Protocol):
    def __call__(self, run: Path, code: WorkerCode, user: int, *, root: bool, groups: list[str]) -> Start: ...
