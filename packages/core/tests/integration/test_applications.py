# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' applications behind the server, in one process and in several: who may ask, what passes, and what does not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time

import httpx
import pytest
from application_plugins import probe
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

HERE = "/api/plugins/probe"
ENVIRONMENT = "/api/environments/prod/plugins/probe"


class Setup:
    """A server with the probe in an environment, and people of every kind."""

    def __init__(self, server, folder):
        self.server = server
        self.port = server.port
        self.admin = server.client()
        bundle = probe(folder).read_bytes()
        assert self.admin.post("/api/plugins", content=bundle, timeout=60).status_code == 201
        for name in ("prod", "test"):
            assert self.admin.post("/api/environments", json={"name": name}).status_code == 201
            made = self.admin.put(f"/api/environments/{name}/plugins/probe", json={"settings": {"colour": name}})
            assert made.status_code == 200, made.text
        self.people = {"server": self.admin.headers["authorization"]}
        self.token("viewer", access="viewer")
        self.token("operator", access="operator")
        self.token("limited", access="operator", environments=["prod"])
        self.token("limited-admin", access="admin", environments=["prod"])

    def token(self, name, **what):
        made = self.admin.post("/api/tokens", json={"name": name, **what})
        assert made.status_code == 201, made.text
        self.people[name] = f"Bearer {made.json()['token']}"

    def ask(self, who, method, path, **more):
        headers = {"Authorization": self.people[who], **more.pop("headers", {})}
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=20, **more)

    def raw(self, path, method="GET", *headers):
        """The status and the whole answer to a request that is sent byte for byte."""
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Authorization: {self.people['server']}"]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as made:
            made.sendall("\r\n".join([*head, *headers, "", ""]).encode("latin-1"))
            answer = b"".join(iter(lambda: made.recv(65536), b""))
        return int(answer.split()[1]) if answer else 0, answer

    def websocket(self, path, who="operator", **more):
        headers = {"Authorization": self.people[who]} if who else {}
        more["additional_headers"] = {**headers, **more.pop("headers", {})}
        return connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, **more)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "several"])
def setup(request, tmp_path_factory, running_server_class):
    folder = tmp_path_factory.mktemp("applications")
    server = running_server_class(folder / "data", processes=request.param)
    server.start()
    made = None
    try:
        made = Setup(server, folder)
        yield made
    finally:
        if made is not None:
            made.admin.close()
        server.kill()


def test_both_addresses_tell_the_application_where_it_is_and_for_whom(setup) -> None:
    asked = setup.ask("operator", "GET", f"{HERE}/a%20b/c?x=1&y=%2F", headers={"X-Own": "1"}).json()
    assert (asked["path"], asked["root_path"], asked["query"]) == (f"{HERE}/a b/c", HERE, "x=1&y=%2F")
    assert asked["caller"] == ["server", "server", "operator", ["look"]]
    assert (asked["environment"], asked["settings"]) == (None, {})
    assert ["x-own", "1"] in asked["headers"]
    by_name = setup.ask("viewer", "GET", f"{ENVIRONMENT}/").json()
    assert (by_name["path"], by_name["root_path"]) == (f"{ENVIRONMENT}/", ENVIRONMENT)
    assert (by_name["environment"], by_name["settings"]) == ("prod", {"colour": "prod"})
    identity = setup.admin.get("/api/environments/test").json()["id"]
    by_id = setup.ask("server", "GET", f"/api/environments/{identity}/plugins/probe/").json()
    assert (by_id["environment"], by_id["settings"]) == ("test", {"colour": "test"})
    assert by_id["caller"] == ["server", "server", "admin", ["look", "paint"]]


def test_what_is_not_below_stays_the_cores(setup) -> None:
    assert setup.ask("viewer", "GET", ENVIRONMENT).json()["settings"] == {"colour": "prod"}
    assert setup.ask("viewer", "GET", "/api/plugin-versions/probe/1.0.0").json()["name"] == "probe"
    assert setup.ask("viewer", "GET", HERE).status_code == 404


def test_nobody_forges_an_identity(setup) -> None:
    forged = {
        "Stoker-Context": "e30=",
        "stoker-root-path": "/evil",
        "X-Stoker-Actor": "e30=",
        "X-Stoker-Scheme": "evil",
        "Cookie": "a=b",
        "X-CSRF-Token": "c",
        "X-Forwarded-User": "root",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "X-HTTP-Method-Override": "DELETE",
        "stoker_context": "e30=",
    }
    seen = setup.ask("viewer", "GET", f"{HERE}/", headers=forged).json()
    assert seen["caller"] == ["server", "server", "viewer", ["look"]]
    assert seen["root_path"] == HERE
    assert seen["scheme"] == "http"
    names = {name.lower() for name, _ in seen["headers"]}
    assert not names & ({name.lower() for name in forged} | {"authorization", "cookie"})
    assert setup.people["viewer"].split()[1] not in json.dumps(seen)


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("viewer", "GET", f"{HERE}/x", 200),
        ("viewer", "HEAD", f"{HERE}/x", 200),
        ("viewer", "OPTIONS", f"{HERE}/x", 200),
        ("viewer", "POST", f"{HERE}/x", 403),
        ("viewer", "POST", f"{HERE}/ask/this", 200),
        ("viewer", "DELETE", f"{HERE}/ask", 403),
        ("viewer", "GET", f"{HERE}/paint/look", 200),
        ("viewer", "GET", f"{HERE}/p%61int/it", 403),
        ("operator", "POST", f"{HERE}/x", 200),
        ("operator", "GET", f"{HERE}/paint", 403),
        ("server", "GET", f"{HERE}/paint", 200),
        ("server", "TRACE", f"{HERE}/x", 405),
        ("limited", "GET", f"{HERE}/x", 200),
        ("limited", "POST", f"{HERE}/x", 403),
        ("limited", "POST", f"{ENVIRONMENT}/x", 200),
        ("limited", "POST", "/api/environments/test/plugins/probe/x", 403),
        ("limited-admin", "GET", f"{ENVIRONMENT}/paint", 200),
        ("limited-admin", "GET", "/api/environments/test/plugins/probe/paint", 403),
        ("server", "GET", "/api/environments/none/plugins/probe/", 404),
        ("server", "GET", "/api/plugins/none/", 404),
    ],
)
def test_who_may_ask_what(setup, who, method, path, status) -> None:
    answer = setup.ask(who, method, path)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]


def test_a_limited_token_is_a_viewer_elsewhere(setup) -> None:
    assert setup.ask("limited-admin", "GET", "/api/environments/test/plugins/probe/").json()["caller"][2:] == ["viewer", ["look"]]
    assert setup.ask("limited-admin", "GET", f"{ENVIRONMENT}/").json()["caller"][2:] == ["admin", ["look", "paint"]]


def test_strangers_and_other_hosts_learn_nothing(setup) -> None:
    assert httpx.get(f"http://127.0.0.1:{setup.port}{HERE}/").status_code == 401
    assert httpx.get(f"http://127.0.0.1:{setup.port}{HERE}/", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        f"{HERE}/../../nodes",
        f"{HERE}/%2e%2e/%2e%2e/nodes",
        f"{HERE}/..%2f..%2fnodes",
        f"{HERE}/a%00b",
        f"{HERE}/a%5c..%5cb",
        f"{HERE}/a\\b",
        f"{HERE}//evil.example/",
        f"{ENVIRONMENT}/%2e%2e/x",
        f"{HERE}/" + "a" * 5000,
    ],
)
def test_hostile_paths_reach_no_application(setup, path) -> None:
    status, answer = setup.raw(path)
    assert status in (400, 414), answer
    assert b"root_path" not in answer


def test_an_absolute_address_is_the_path_in_it(setup) -> None:
    status, answer = setup.raw(f"http://evil.example{HERE}/x")
    assert status in (200, 400, 404)
    assert b"evil.example" not in answer


def test_answers_have_no_power_over_the_browser(setup) -> None:
    wishes = {
        "Set-Cookie": "a=b",
        "Content-Security-Policy": "default-src *",
        "Strict-Transport-Security": "max-age=1",
        "Clear-Site-Data": '"*"',
        "Access-Control-Allow-Origin": "*",
        "Service-Worker-Allowed": "/",
        "Refresh": "0; url=/",
        "Link": "</x>; rel=preload",
        "Alt-Svc": "h3=x",
        "X-Accel-Redirect": "/etc/passwd",
        "WWW-Authenticate": "Basic",
        "X-Request-ID": "forged",
        "X-Fine": "1",
        "Content-Type": "text/html",
    }
    got = setup.ask("viewer", "GET", f"{HERE}/with", params={**wishes, "body": "<script>alert(1)</script>"}).headers
    assert got["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert got["x-content-type-options"] == "nosniff"
    assert (got["x-fine"], got["content-type"]) == ("1", "text/html")
    gone = {name.lower() for name in wishes} - {"content-type", "content-security-policy", "x-fine", "x-request-id"}
    assert not gone & set(got)
    assert got["x-request-id"] != "forged"
    assert len(got.get_list("date")) == 1
    script = setup.ask("viewer", "GET", f"{HERE}/with", params={"Content-Type": "text/javascript"})
    assert script.headers["content-type"].startswith("text/plain")
    assert setup.ask("viewer", "GET", f"{HERE}/", headers={"Sec-Fetch-Dest": "script"}).status_code == 400


def test_redirects_stay_inside(setup) -> None:
    stay = setup.ask("viewer", "GET", f"{HERE}/with", params={"status": "302", "Location": f"{HERE}/x"})
    assert (stay.status_code, stay.headers["location"]) == (302, f"{HERE}/x")
    for away in ("/api/nodes", "https://evil.example/", "//evil.example", "../other/"):
        stray = setup.ask("viewer", "GET", f"{HERE}/with", params={"status": "302", "Location": away})
        assert (stray.status_code, stray.json()["type"]) == (502, "urn:stoker:problem:plugin-answer")
        assert "location" not in stray.headers


def test_bodies_pass_in_pieces(setup) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(60)]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert setup.ask("operator", "POST", f"{HERE}/up", content=b"".join(pieces)).json() == [digest, 6_000_000]
    assert setup.ask("operator", "POST", f"{HERE}/up", content=iter(pieces)).json() == [digest, 6_000_000]
    assert setup.ask("operator", "POST", f"{HERE}/up").json()[1] == 0
    down = setup.ask("viewer", "GET", f"{HERE}/down", params={"pieces": 100}).content
    assert down == b"".join(bytes([number]) * 65536 for number in range(100))
    head = setup.ask("viewer", "HEAD", f"{HERE}/with", params={"body": "abc", "Content-Length": "3"})
    assert (head.headers["content-length"], head.content) == ("3", b"")


def test_events_come_as_they_happen_and_a_client_that_leaves_is_noticed(setup) -> None:
    url = f"http://127.0.0.1:{setup.port}{HERE}"
    headers = {"Authorization": setup.people["viewer"]}
    with httpx.stream("GET", f"{url}/events", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "data: 1.0.0 0"
    with contextlib.suppress(httpx.ReadTimeout):
        httpx.get(f"{url}/until-left", headers=headers, timeout=0.3)
    end = time.monotonic() + 5
    while not setup.ask("viewer", "GET", f"{HERE}/has-left").json():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_application_that_fails_is_a_problem_and_answers_again(setup) -> None:
    assert setup.ask("viewer", "GET", f"{HERE}/raise").status_code == 500
    exited = setup.ask("viewer", "GET", f"{HERE}/exit")
    assert (exited.status_code, exited.headers["content-type"]) == (502, "application/problem+json")
    assert "probe 1.0.0" in exited.json()["detail"]
    with pytest.raises(httpx.RemoteProtocolError):
        setup.ask("viewer", "GET", f"{HERE}/exit-midway")
    late = setup.ask("viewer", "GET", f"{HERE}/slow", params={"seconds": 60})
    assert (late.status_code, late.json()["type"]) == (504, "urn:stoker:problem:plugin-late")
    assert setup.ask("viewer", "GET", f"{HERE}/").status_code == 200
    assert setup.ask("viewer", "GET", f"{HERE}/block").status_code == 504
    time.sleep(2.5)  # it says hello no more, and is ended
    assert setup.ask("viewer", "GET", f"{HERE}/").status_code == 200
    long = setup.ask("viewer", "GET", f"{HERE}/with", params={"X-Long": "a" * 12_000})
    assert len(long.headers["x-long"]) == 12_000
    assert setup.ask("viewer", "GET", f"{HERE}/", headers={"X-Long": "a" * 40_000}).status_code == 431


async def test_websockets_pass_both_ways(setup) -> None:
    async with setup.websocket(f"{ENVIRONMENT}/ws?x=1", subprotocols=["one", "two"]) as made:
        assert made.subprotocol == "two"
        assert "set-cookie" not in made.response.headers
        about = json.loads(await made.recv())
        assert (about["path"], about["query"], about["environment"]) == (f"{ENVIRONMENT}/ws", "x=1", "prod")
        assert about["caller"] == ["server", "server", "operator", ["look"]]
        assert "authorization" not in {name for name, _ in about["headers"]}
        for message in ("text", "ä" * 100_000, b"bytes", b"", b"\x00" * 1_000_000):
            await made.send(message)
            assert await made.recv() == message
        await made.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            await made.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you wish")


async def test_websockets_are_for_those_who_may(setup) -> None:
    async def refused(path=f"{HERE}/ws", **more):
        with pytest.raises(InvalidStatus) as told:
            async with setup.websocket(path, **more):
                pass
        return told.value.response.status_code

    assert await refused(who=None) == 401
    assert await refused(who="viewer") == 403
    assert await refused(who="limited") == 403
    assert await refused(path="/api/plugins/none/ws") == 404
    assert await refused(path=f"{HERE}/%2e%2e/ws") == 400
    assert await refused(path=f"{HERE}/refused") == 403
    assert await refused(path="/api/nodes") in (403, 404)
    async with setup.websocket(f"{ENVIRONMENT}/ws", who="limited") as made:
        assert json.loads(await made.recv())["caller"][2] == "operator"


async def test_a_browsers_websocket_comes_from_our_own_pages(setup) -> None:
    made = setup.admin.post("/api/users", json={"name": "ada", "password": "a long password of hers", "access": "operator"})
    assert made.status_code in (201, 409), made.text
    signed_in = httpx.post(
        f"http://127.0.0.1:{setup.port}/api/session", json={"user": "ada", "password": "a long password of hers"}
    )
    cookie = "; ".join(f"{name}={value}" for name, value in signed_in.cookies.items())
    assert cookie
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus) as told:
            async with setup.websocket(f"{HERE}/ws", who=None, headers={"Cookie": cookie, **origin}):
                pass
        assert told.value.response.status_code == 403
    own = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{setup.port}"}
    async with setup.websocket(f"{HERE}/ws", who=None, headers=own) as made:
        about = json.loads(await made.recv())
        assert about["caller"][:3] == ["user", "ada", "operator"]
        assert "cookie" not in {name for name, _ in about["headers"]}


async def test_a_websocket_whose_application_dies_is_closed(setup) -> None:
    async with setup.websocket(f"{HERE}/ws") as made:
        await made.recv()
        await made.send("exit")
        with pytest.raises(ConnectionClosed) as closed:
            await made.recv()
        assert closed.value.rcvd.code == 1011


def test_the_application_describes_itself_in_the_servers_description(setup) -> None:
    end = time.monotonic() + 20
    while True:
        document = setup.ask("viewer", "GET", "/api/openapi.json").json()
        if found := document["paths"].get(f"{HERE}/things/{{id}}"):
            break
        assert time.monotonic() < end
        time.sleep(0.2)
    assert found["get"]["tags"] == ["plugin probe"]
    assert found["get"]["operationId"] == "probe.thing"
    schema = found["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/probe.Thing"}
    assert "probe.Thing" in document["components"]["schemas"]
    assert "/api/nodes" in document["paths"]
