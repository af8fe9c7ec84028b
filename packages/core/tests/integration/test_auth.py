# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The door: token, Host, private files, TLS off loopback."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import httpx
import pytest
from litestar.testing import TestClient
from stoker.config import ServerConfig, load_config
from stoker.errors import ConfigurationError
from stoker.services import certificates
from stoker.services.certificates import ensure_certificate, fingerprint
from stoker.services.context import ServerContext


@pytest.mark.parametrize("path", ["/api/nodes", "/api/version", "/api/nonsense", "/api/openapi.json", "/"])
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YTpi"])
def test_without_the_token_nothing_is_told(client: TestClient, path: str, header: str) -> None:
    answer = client.get(path, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:stoker:problem:unauthorized"


def test_health_needs_no_token(client: TestClient) -> None:
    assert client.get("/api/health", headers={"Authorization": ""}).json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:8550", "[::2]"])
def test_another_host_is_refused_before_the_token_is_looked_at(client: TestClient, host: str) -> None:
    answer = client.get("/api/health", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:stoker:problem:forbidden"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8550", "[::1]:8550"])
def test_loopback_names_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/api/version", headers={"Host": host}).status_code == 200


def test_the_token_is_in_a_private_file_and_nowhere_else(server_context: ServerContext) -> None:
    config = server_context.config
    token = config.token_file.read_text().strip()
    assert config.token_file.stat().st_mode & 0o777 == 0o600
    assert config.data_dir.stat().st_mode & 0o777 == 0o700
    others = [path for path in config.data_dir.rglob("*") if path.is_file() and path != config.token_file]
    assert others
    assert not [path for path in others if token.encode() in path.read_bytes()]


def test_off_loopback_there_is_no_plain_http(tmp_path: Path) -> None:
    assert not ServerConfig(data_dir=tmp_path).uses_tls
    assert ServerConfig(data_dir=tmp_path, host="0.0.0.0").uses_tls
    assert ServerConfig(data_dir=tmp_path, host="192.0.2.1", tls=False).url.startswith("https://")


def test_a_self_signed_certificate_is_made_once(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "tls", ["localhost", "127.0.0.1"])
    before = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", fingerprint(certificate))
    assert ensure_certificate(tmp_path / "tls", ["localhost"])[0].read_bytes() == before
    assert ensure_certificate(tmp_path / "tls", ["LOCALHOST", "127.0.0.1"])[0].read_bytes() == before


def test_a_certificate_is_made_anew_for_a_further_host_and_the_log_says_so(tmp_path: Path, caplog) -> None:
    before = fingerprint(ensure_certificate(tmp_path, ["localhost"])[0])
    caplog.clear()
    certificate, _ = ensure_certificate(tmp_path, ["localhost", "stoker.example.net"])
    assert fingerprint(certificate) != before
    assert fingerprint(certificate) in caplog.text
    assert "stoker.example.net" in caplog.text


def test_a_certificate_that_ends_soon_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_DAYS", 29)
    before = fingerprint(ensure_certificate(tmp_path, ["localhost"])[0])
    monkeypatch.setattr(certificates, "_DAYS", 825)
    after = fingerprint(ensure_certificate(tmp_path, ["localhost"])[0])
    assert after != before
    assert fingerprint(ensure_certificate(tmp_path, ["localhost"])[0]) == after


@pytest.mark.parametrize("damaged", ["server.crt", "server.key"])
@pytest.mark.parametrize("content", [b"", b"half a file", None])
def test_what_a_crash_left_of_a_certificate_is_made_anew(tmp_path: Path, damaged: str, content: bytes | None) -> None:
    ensure_certificate(tmp_path / "tls", ["localhost"])
    other = ensure_certificate(tmp_path / "other", ["localhost"])[damaged == "server.key"]
    (tmp_path / "tls" / damaged).write_bytes(other.read_bytes() if content is None else content)
    certificate, key = ensure_certificate(tmp_path / "tls", ["localhost"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    assert not list((tmp_path / "tls").glob(".*"))


def test_a_host_that_no_certificate_can_name_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a b"):
        ensure_certificate(tmp_path, ["a b"])


def test_a_server_with_tls_answers_to_those_who_trust_it(tmp_path: Path, start_server) -> None:
    server = start_server(tls=True)
    certificate = server.data_dir / "tls" / "server.crt"
    trusting = ssl.create_default_context(cafile=str(certificate))
    answer = httpx.get(f"https://localhost:{server.port}/api/health", verify=trusting)
    assert answer.status_code == 200
    assert fingerprint(certificate) in server.log.read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{server.port}/api/health")


def test_a_second_server_on_the_same_folder_is_refused(start_server) -> None:
    first = start_server()
    with pytest.raises(AssertionError, match="another server runs"):
        start_server(data_dir=first.data_dir)


def test_configuration_comes_from_file_variables_flags_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "stoker.toml"
    file.write_text('port = 1000\nhost = "127.0.0.2"\nhosts = ["a.example"]\n')
    variables = {"STOKER_DATA": str(tmp_path), "STOKER_PORT": "2000", "STOKER_HOSTS": "b.example,c.example"}
    config = load_config(file, environment=variables, flags={"port": 3000, "host": None})
    assert (config.data_dir, config.port, config.host, config.hosts) == (tmp_path, 3000, "127.0.0.2", ["b.example", "c.example"])
    assert load_config(file, environment=variables).port == 2000


@pytest.mark.parametrize("text", ["prot = 1", "port = 'many'", "port = ", "data_dir = 5"])
def test_a_wrong_configuration_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stoker.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"stoker\.toml"):
        load_config(file, environment={})
