# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The server of package repositories gives files below one folder, and can do nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from stoker.config import ServerConfig
from stoker.errors import ConfigurationError
from stoker.plugin_host.repository_server import serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data/repositories"
    (folder / "motd/1.0/debian/pool").mkdir(parents=True)
    (folder / "motd/1.0/debian/InRelease").write_text("signed\n")
    (folder / "motd/1!2.0/debian").mkdir(parents=True)
    (folder / "motd/1!2.0/debian/InRelease").write_text("signed\n")
    (folder / "motd/1.0/debian/Packages").write_bytes(b"")
    (folder / "motd/1.0/debian/pool/large_1:2.0~a+b_all.deb").write_bytes(b"x" * 700_000)
    (tmp_path / "data/admin-token").write_text("secret\n")
    (folder / "motd/1.0/debian/link").symlink_to(tmp_path / "data/admin-token")
    (folder / "motd/out").symlink_to(tmp_path / "data")
    return folder


def over(socket: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://stoker.invalid")


async def test_files_are_given_whole_and_known_ones_are_not_sent_again(root, tmp_path):
    async with serving(root, tmp_path / "r.sock"), over(tmp_path / "r.sock") as client:
        found = await client.get("/repositories/motd/1.0/debian/./InRelease")
        assert (found.status_code, found.text) == (200, "signed\n")
        large = await client.get("/repositories/motd/1.0/debian/pool/large_1:2.0~a+b_all.deb")
        assert len(large.content) == 700_000
        assert (await client.get("/repositories/motd/1.0/debian/Packages")).content == b""
        assert (await client.get("/repositories/motd/1!2.0/debian/InRelease")).text == "signed\n"
        head = await client.head("/repositories/motd/1.0/debian/InRelease")
        assert (head.headers["content-length"], head.content) == ("7", b"")
        since = {"If-Modified-Since": found.headers["last-modified"]}
        assert (await client.get("/repositories/motd/1.0/debian/InRelease", headers=since)).status_code == 304
        odd = {"If-Modified-Since": "yesterday"}
        assert (await client.get("/repositories/motd/1.0/debian/InRelease", headers=odd)).status_code == 200
    assert not (tmp_path / "r.sock").exists()


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/health",
        "/repositories",
        "/repositories/",
        "/repositories/motd",
        "/repositories/motd/1.0/debian",
        "/repositories/../admin-token",
        "/repositories/motd/../../admin-token",
        "/repositories/motd/%2e%2e/%2e%2e/admin-token",
        "/repositories/motd/..%2f..%2fadmin-token",
        "/repositories/motd/1.0/debian/link",
        "/repositories/motd/out/admin-token",
        "/repositories/motd/1.0/debian/InRelease%00",
        "//etc/passwd",
        "http://stoker.invalid/etc/passwd",
        "http://stoker.invalid/repositories/../admin-token",
    ],
)
async def test_nothing_else_can_be_reached(root, tmp_path, target):
    async with serving(root, tmp_path / "r.sock"):
        assert (await raw(tmp_path / "r.sock", f"GET {target} HTTP/1.1")).startswith(b"HTTP/1.1 404")


async def test_a_request_by_proxy_is_answered(root, tmp_path):
    async with serving(root, tmp_path / "r.sock"):
        line = "GET http://stoker.invalid/repositories/motd/1.0/debian/InRelease HTTP/1.1"
        assert (await raw(tmp_path / "r.sock", line)).endswith(b"signed\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(root, tmp_path, method):
    async with serving(root, tmp_path / "r.sock"):
        line = f"{method} /repositories/motd/1.0/debian/InRelease HTTP/1.1"
        assert (await raw(tmp_path / "r.sock", line)).startswith(b"HTTP/1.1 405")


async def raw(socket: Path, line: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(f"{line}\r\nHost: stoker.invalid\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_only_the_servers_user_may_connect_to_the_socket(root, tmp_path):
    async with serving(root, tmp_path / "r.sock"):
        assert os.stat(tmp_path / "r.sock").st_mode & 0o777 == 0o600  # noqa: PTH116  of the socket itself


async def test_an_address_besides_is_served_or_refused_with_the_reason(root, tmp_path):
    with pytest.raises(ConfigurationError, match="not HOST:PORT"):
        async with serving(root, tmp_path / "r.sock", "8551"):
            pass
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with serving(root, tmp_path / "r.sock", f"127.0.0.1:{port}"):
            pass
    listening.close()
    await listening.wait_closed()
    async with serving(root, tmp_path / "r.sock", f"127.0.0.1:{port}"), httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/repositories/motd/1.0/debian/InRelease")).text == "signed\n"


def test_a_data_folder_with_a_long_path_has_its_socket_elsewhere(tmp_path):
    near, far = ServerConfig(data_dir=Path("/srv/stoker")), ServerConfig(data_dir=tmp_path / ("x" * 120))
    assert near.repository_socket == Path("/srv/stoker/repositories.sock")
    assert len(os.fsencode(far.repository_socket)) < 100
    assert far.repository_socket != ServerConfig(data_dir=tmp_path / ("y" * 120)).repository_socket
