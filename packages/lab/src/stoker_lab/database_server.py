# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL for tests and measurements: the distribution's own programs, its own data folder and socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg

from stoker_lab.errors import LabError

FOLDERS: Final = "/usr/lib/postgresql/*/bin"
"""Where Debian keeps the programs, one folder a version."""
_STARTING: Final = 30.0
_STOPPING: Final = 30.0
_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
}
_CARELESS: Final = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}
"""What makes tests fast that never take the machine's power away."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs; ``None`` without one."""
    found = [path.parent for path in Path("/").glob(f"{FOLDERS}/initdb"[1:])]
    found += [Path(path).resolve().parent for name in ("initdb",) if (path := shutil.which(name)) is not None]
    return max(found, key=lambda path: (_version(path), path), default=None)


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


class DatabaseServer:
    """One PostgreSQL; ``with DatabaseServer() as server: server.create("name")`` gives a database's URL."""

    def __init__(self, parent: Path | None = None, *, durable: bool = False) -> None:
        """Nothing runs yet.

        Args:
            parent: where its folder is made; on a disk, for measurements. Other users must be able to come there.
            durable: whether commits survive the machine's death, as outside of tests.
        """
        self._parent = parent
        self._durable = durable
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = Path()
        self._user = pwd.getpwuid(os.getuid())
        self._made = 0

    def __enter__(self) -> DatabaseServer:
        found = programs()
        if found is None:
            raise LabError("PostgreSQL's programs are not there.", remedy="Install them (Debian: apt-get install postgresql).")
        self._programs = found
        if os.getuid() == 0:  # the server refuses root
            self._user = pwd.getpwnam("postgres")
        self._folder = Path(tempfile.mkdtemp(prefix="stoker-postgresql-", dir=self._parent))
        shutil.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.stop(signal.SIGQUIT)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _as_user(self, *command: str) -> list[str]:
        """The command as PostgreSQL's user; it ends when we do, however that happens."""
        prefix = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            prefix += [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return [*prefix, *command]

    def _initialize(self) -> None:
        # The order of names is to be the same whatever the database's locale says: tests run with one that sorts as people do.
        locale = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        sync = [] if self._durable else ["--no-sync"]
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "stoker", "-E", "UTF8", "-A", "trust"]
        done = subprocess.run(
            self._as_user(*command, *locale, *sync), capture_output=True, text=True, check=False, cwd=self._folder
        )
        if done.returncode:
            raise LabError(f"initdb failed: {done.stderr.strip()[-500:]}", remedy="Look at what it says.")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder / "log"

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            LabError: it does not.
        """
        settings = {**_SETTINGS, "unix_socket_directories": str(self._folder), **({} if self._durable else _CARELESS)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = self._as_user(str(self._programs / "postgres"), "-D", str(self._data), *options)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder)
        deadline = time.monotonic() + _STARTING
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(
                        f"PostgreSQL does not start: {self.log.read_text(errors='replace')[-1000:]}",
                        remedy="Look at what it says.",
                    ) from error
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it, with what is under way lost (SIGINT), or as at a crash (SIGQUIT)."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://stoker@/{name}?host={self._folder}"

    def create(self, template: str = "") -> str:
        """Make a database, empty or like another one, to which nobody may be connected then; gives its URL."""
        self._made += 1
        name = f"stoker{self._made}"
        self.run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever uses it."""
        name = url.split("?", maxsplit=1)[0].rpartition("/")[2]
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, statement: str) -> None:
        """Run one statement outside of the tests' databases."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())
