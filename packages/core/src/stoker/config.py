# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server's configuration: built-in values, then a TOML file, then STOKER_* variables, then flags."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from stoker.errors import ConfigurationError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Hosts that name this machine alone."""

MOST_PORT = 65535
_LONGEST_SOCKET = 100
MOST_PROCESSES = 64
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_WORDS = {"int": "a whole number", "bool": "true or false", "str": "a text", "array": "a list", "float": "a number"}
"""What types are called in messages."""


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a server can be told."""

    data_dir: Path
    """Database, keys, admin token and plugins; readable by the server's user alone."""
    database: str = ""
    """``postgresql://USER@HOST/NAME``; without it, an SQLite file in the data folder."""
    database_password_file: Path | None = None
    """A file with PostgreSQL's password, for a URL without one."""
    database_connections: int = 60
    """How many connections to the database all processes together hold at most."""
    processes: int = 1
    """1: everything in one process. More: so many processes that answer requests, and one that does the work."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8550
    """The TCP port to listen on."""
    hosts: list[str] = []
    """Names under which clients may reach the server, besides those of loopback and ``host``."""
    trusted_proxies: list[str] = []
    """Addresses of proxies that are believed when they say (``X-Forwarded-For``) whose request they pass on."""
    tls_cert: Path | None = None
    """A certificate in PEM; without one, a self-signed one is made where the server listens off loopback."""
    tls_key: Path | None = None
    """The certificate's key in PEM."""
    tls: bool = False
    """Whether to use TLS on loopback too."""
    max_upload_bytes: int = 256 * 1024 * 1024
    """Largest bundle that is taken."""
    planning_memory_bytes: int = 1024 * 1024 * 1024
    """What a planning process may take."""
    planning_seconds: int = 120
    """How long a planning process may run."""
    safe_mode: bool = False
    """Whether to run no plugin's code: hooks, events and jobs wait, plugins' applications do not answer, all else works."""
    workers_max: int = 8
    """How many workers, processes in which plugins' code runs, live at once; the least recently used one makes place."""
    workers_idle_seconds: int = 300
    """After so many seconds without work a worker is stopped."""
    workers_cpu_share: float = 0.5
    """The share of this machine's processors that all workers together may use, where control groups can be made."""
    allow_unconfined_plugins: bool = False
    """Whether plugins' code runs although no sandbox works on this machine: it can then read all that the server can."""
    fleet_socket: Path | None = None
    """The socket of the simulated fleet; ``fleet.sock`` in the data folder by default."""
    venv_template: Path | None = None
    """Where what all venvs of plugins are made of is kept; in the data folder by default. Several servers may share it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on lines are logged: debug, info, warning or error."""
    log_format: Literal["text", "json"] = "text"
    """How a line of the log looks: text for people, or one JSON object a line."""
    metrics_without_token: bool = False
    """Whether ``/metrics`` answers anybody who reaches the server; otherwise a scraper sends a viewer's token."""
    least_free_bytes: int = 256 * 1024 * 1024
    """With less free space in the data folder the server says that it is not ready."""
    plugin_drain_seconds: float = 30
    """How long a request that began with one version of a plugin may take after another one is in use."""
    repository_url: str = ""
    """The address under which nodes reach package repositories, e.g. of a mirror; without one, through the held connection."""
    repository_listen: str = ""
    """Where to serve package repositories besides, e.g. ``0.0.0.0:8551``; plain HTTP, for what is signed."""

    @property
    def database_url(self) -> str:
        """Where the database is."""
        return self.database or f"sqlite:///{self.data_dir / 'stoker.db'}"

    @property
    def database_password(self) -> str:
        """PostgreSQL's password, from its file; empty without one.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        file = self.database_password_file
        if file is None:
            return ""
        try:
            return file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"database_password_file {file} cannot be read: {error}.", remedy="Check the path and its permissions."
            ) from error

    @property
    def venvs(self) -> Path:
        """The folder of the venvs of plugins with code."""
        return self.data_dir / "venvs"

    @property
    def registry(self) -> Path:
        """The file that says which plugin versions are live."""
        return self.data_dir / "registry.json"

    @property
    def token_file(self) -> Path:
        """The file with the admin token."""
        return self.data_dir / "admin-token"

    @property
    def fleet(self) -> Path:
        """The socket of the simulated fleet."""
        return self.fleet_socket or self.data_dir / "fleet.sock"

    @property
    def repositories(self) -> Path:
        """The folder of the signed package repositories; all that is in it may be mirrored."""
        return self.data_dir / "repositories"

    @property
    def repository_socket(self) -> Path:
        """The socket at which package repositories are served; elsewhere if its path would be too long for a socket."""
        path = self.data_dir / "repositories.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:24]
        return Path(tempfile.gettempdir()) / f"stoker-{name}.sock"

    @property
    def worker_folder(self) -> Path:
        """Where workers' sockets are; elsewhere if their paths would be too long for sockets."""
        path = self.data_dir / "workers"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET - len("/01234567/worker.sock"):
            return path
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:24]
        return Path(tempfile.gettempdir()) / f"stoker-{name}-workers"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK_NAMES or self.host.startswith("127.")

    @property
    def uses_tls(self) -> bool:
        """Whether the server speaks TLS: always off loopback."""
        return self.tls or self.tls_cert is not None or not self.on_loopback

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  compared, not bound
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.uses_tls else 'http'}://{shown}:{self.port}"


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """``$STOKER_DATA``, or the usual place for a user's data."""
    if given := environment.get("STOKER_DATA"):
        return Path(given).expanduser()
    base = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "stoker"


def load_config(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
) -> ServerConfig:
    """Put the configuration together.

    Args:
        file: a TOML file with fields of :class:`ServerConfig`; ``$STOKER_CONFIG`` if not given.
        environment: variables such as ``STOKER_PORT``.
        flags: values given on the command line; ``None`` values do not count.

    Raises:
        ConfigurationError: the file cannot be read, or a field is unknown or does not fit.
    """
    if file is None and (named := environment.get("STOKER_CONFIG")):
        file = Path(named)
    values: dict[str, object] = {"data_dir": str(default_data_dir(environment))}
    if file is not None:
        values |= _read_toml(file)
    for name in ServerConfig.__struct_fields__:
        if (given := environment.get(f"STOKER_{name.upper()}")) is not None:
            values[name] = given.split(",") if name in ("hosts", "trusted_proxies") else given
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        found = msgspec.convert(values, ServerConfig, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        where = f"configuration ({file})" if file else "configuration"
        raise _fault(where, error) from error
    if not 0 <= found.port <= MOST_PORT:
        raise ConfigurationError(
            f"configuration: port: there is no port {found.port}.",
            remedy=f"A port is a number from 1 to {MOST_PORT}; 0 takes any free one.",
        )
    if not 1 <= found.processes <= MOST_PROCESSES:
        raise ConfigurationError(
            f"configuration: processes: {found.processes} is not possible.", remedy=f"Give a number from 1 to {MOST_PROCESSES}."
        )
    return found


def _fault(where: str, error: msgspec.ValidationError) -> ConfigurationError:
    """What does not fit, with the field's name and, for one that is not there, with those that are."""
    text = str(error)
    if unknown := _UNKNOWN.search(text):
        known = ServerConfig.__struct_fields__
        close = difflib.get_close_matches(unknown[1], known, 1)
        meant = f"Write {close[0]}." if close else f"The fields are {', '.join(known)}."
        return ConfigurationError(f"{where}: there is no field {unknown[1]}.", remedy=meant)
    what, _, place = text.partition(" - at `$.")
    field = place.rstrip("`")
    for kind, word in _WORDS.items():
        what = what.replace(f"`{kind}`", word)
    what = what[:1].lower() + what[1:]
    return ConfigurationError(
        f"{where}: {f'{field}: ' if field else ''}{what}.", remedy="The manual lists every field under 'Server configuration'."
    )


def read_config(document: str) -> ServerConfig:
    """The configuration from JSON, as ``stoker serve`` hands it to the server's process."""
    try:
        return msgspec.json.decode(document, type=ServerConfig, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise _fault("configuration", error) from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser().absolute()
    raise msgspec.ValidationError(f"{value!r} is not a {kind.__name__}")


def _read_toml(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigurationError(
            f"configuration {file} cannot be read: {error.strerror}.", remedy="Check the path and its permissions."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration {file} is not TOML: {error}.", remedy="Mend the file at that place.") from error
