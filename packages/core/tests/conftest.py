# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: bundles made in memory, a server's context on a temporary data folder, a client, a real server process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from litestar.testing import TestClient
from sqlalchemy import select
from stoker.app import build_app, build_context, open_vault
from stoker.config import ServerConfig
from stoker.db.tables import audit_log
from stoker.services.context import ServerContext
from stoker_sdk import Plugin
from stoker_sdk.bundle import write_bundle
from stoker_sdk.manifest import to_manifest
from stoker_sdk.model.contribution import Contribution

VENV_TEMPLATE = Path(tempfile.gettempdir()) / f"stoker-tests-{os.getuid()}" / "venvs"
"""What venvs of plugins are made of, shared by all servers of tests: it takes seconds to make."""
os.environ.setdefault("STOKER_VENV_TEMPLATE", str(VENV_TEMPLATE))

MakeBundle = Callable[..., bytes]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Make a bundle: ``make_bundle(*contributions, name=..., version=..., files={path: bytes}, **fields)``."""

    def make(
        *contributions: Contribution,
        name: str = "motd",
        version: str = "1.0.0",
        files: dict[str, bytes] | None = None,
        **fields: object,
    ) -> bytes:
        plugin = Plugin(name=name, version=version, title=f"Plugin {name}", contributions=contributions, **fields)
        packed = {path: (data, False) for path, data in (files or {}).items()}
        return write_bundle(to_manifest(plugin), packed, tmp_path).read_bytes()

    return make


@pytest.fixture(scope="session")
def make_deb(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Build a Debian package: ``make_deb(name, version, architecture)``; its bytes."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not on this machine")

    def make(name: str, version: str, architecture: str = "all") -> bytes:
        tree = tmp_path_factory.mktemp("package")
        (tree / "DEBIAN").mkdir()
        text = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A <a@example.org>\n"
        (tree / "DEBIAN/control").write_text(f"{text}Description: {name}\n")
        built = tree.with_suffix(".deb")
        subprocess.run(["dpkg-deb", "-b", tree, built], check=True, capture_output=True)
        return built.read_bytes()

    return make


@pytest.fixture
def server_context(tmp_path: Path, database_url: str) -> Iterator[ServerContext]:
    config = ServerConfig(
        data_dir=tmp_path / "data",
        database=_setting(database_url),
        max_upload_bytes=4 * 1024 * 1024,
        venv_template=VENV_TEMPLATE,
    )
    context = build_context(config, open_vault(config))
    yield context
    context.database.close()


@pytest.fixture
def client(server_context: ServerContext) -> Iterator[TestClient]:
    """A client that is let in."""
    token = server_context.config.token_file.read_text().strip()
    with TestClient(build_app(server_context), base_url="http://127.0.0.1:8550", raise_server_exceptions=False) as opened:
        opened.headers["Authorization"] = f"Bearer {token}"
        if not _DESCRIBED:
            _DESCRIBED.update(opened.get("/api/openapi.json").json()["paths"])
        opened.event_hooks["response"] += [_is_described, _is_audited(server_context)]
        yield opened


_DESCRIBED: dict[str, dict[str, dict[str, object]]] = {}
"""The API's description, made once: paths, methods, operations."""


def _is_described(response: httpx.Response) -> None:
    """Every answer of every test is one that the API's description has."""
    path, method = response.request.url.path, response.request.method.lower()
    for pattern, operations in _DESCRIBED.items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", pattern), path) and method in operations:
            known = operations[method]["responses"]
            assert str(response.status_code) in known or response.status_code == 500, (method, path, response.status_code)
            return


_MAY_CHANGE_NOTHING = (
    "PATCH /api/nodes/[^/]+",
    "PUT /api/environments/[^/]+/nodes/[^/]+",
    "POST /api/environments/[^/]+/nodes:(un)?assign",
    "POST /api/plugins",
    "POST /api/environments/[^/]+/plugin-(upgrades|rollbacks)",
)
"""Requests that succeed without a change where everything is as they want it already; tests of their own look at the others."""


def _is_audited(context: ServerContext) -> Callable[[httpx.Response], None]:
    """Every change that any test makes is told in the audit, under the id of its request."""

    def check(response: httpx.Response) -> None:
        if response.request.method in ("GET", "HEAD", "OPTIONS") or not response.is_success:
            return
        if "idempotency-replayed" in response.headers:  # nothing was done again
            return
        with context.database.read() as connection:
            told = select(audit_log.c.id).where(audit_log.c.request_id == response.headers["x-request-id"])
            found = connection.execute(told).first()
        place = f"{response.request.method} {response.request.url.path}"
        assert found or any(re.fullmatch(pattern, place) for pattern in _MAY_CHANGE_NOTHING), f"{place} is not in the audit"

    return check


def _setting(url: str) -> str:
    """What a configuration says: nothing for SQLite, which then is in the data folder."""
    return "" if url.startswith("sqlite") else url


class RunningServer:
    """A real server process on a data folder; it can be killed and started again."""

    def __init__(self, data_dir: Path, *, database: str = "", **fields: object) -> None:
        """``database``: an URL, of which any of SQLite means the file in the data folder."""
        self.data_dir = data_dir
        self.fields = {"venv_template": VENV_TEMPLATE, **fields, "database": _setting(database)}
        self.process: subprocess.Popen[bytes] | None = None
        self.before: list[str] = []
        """Words before its command, e.g. to become somebody else."""
        self.surroundings: dict[str, str] = {}
        """Further environment variables."""
        self.log = data_dir.with_suffix(".log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def config(self) -> ServerConfig:
        return ServerConfig(data_dir=self.data_dir, port=self.port, **self.fields)

    @property
    def database_url(self) -> str:
        return self.config.database_url

    def start(self) -> None:
        config = self.config
        document = msgspec.json.encode(config, enc_hook=str).decode()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-m", "stoker.app", "--config-json", document],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.surroundings},
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{config.url}/api/health", verify=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the server does not answer: {self.log.read_text()}")

    def client(self) -> httpx.Client:
        token = (self.data_dir / "admin-token").read_text().strip()
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        return self.process.wait(30)


@pytest.fixture(scope="session")
def running_server_class() -> type[RunningServer]:
    """For fixtures that live longer than one test; they kill what they start."""
    return RunningServer


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start real servers: ``start_server(data_dir=..., **fields of ServerConfig)``; all are killed at the end."""
    started: list[RunningServer] = []

    def start(data_dir: Path | None = None, **fields: object) -> RunningServer:
        server = RunningServer(data_dir or tmp_path / "server-data", **fields)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def running_server(start_server: Callable[..., RunningServer]) -> RunningServer:
    return start_server()
