# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Headers to and from applications: no secret and no identity goes in, no power over browsers comes out."""

from __future__ import annotations

import pytest
from stoker.errors import BadRequestError
from stoker.plugin_host.app_headers import POLICY, StrayingAnswerError, TooManyHeadersError, from_application, to_application

ROOT = "/api/plugins/hello"


def sent(**headers: str) -> dict[bytes, bytes]:
    given = [(b"Host", b"stoker:8550"), *((name.replace("__", "-").encode(), value.encode()) for name, value in headers.items())]
    return dict(to_application("hello", given, scheme="https", root=ROOT))


@pytest.mark.parametrize(
    "name",
    [
        "Cookie",
        "Authorization",
        "Proxy-Authorization",
        "X-CSRF-Token",
        "Stoker-Context",
        "stoker-root-path",
        "STOKER-anything",
        "stoker_context",
        "X_Stoker_Actor",
        "X-Stoker-Actor",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-User",
        "X-Real-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Remote-User",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "Expect",
        "Content-Length",
    ],
)
def test_what_ends_at_the_server(name) -> None:
    got = dict(to_application("hello", [(b"host", b"h"), (name.encode(), b"mallory")], scheme="http", root=ROOT))
    assert b"mallory" not in got.values()


def test_what_goes_on() -> None:
    got = sent(Accept="text/plain", X__Own="1", Origin="https://stoker:8550", Content__Type="text/csv")
    assert got == {
        b"host": b"stoker:8550",
        b"accept": b"text/plain",
        b"x-own": b"1",
        b"origin": b"https://stoker:8550",
        b"content-type": b"text/csv",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"stoker:8550",
        b"x-forwarded-prefix": ROOT.encode(),
    }


def test_headers_that_connection_names_end_here() -> None:
    assert b"x-secret" not in sent(Connection="close, X-Secret", X__Secret="1")


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "[::1", "a:b", "a:999999", "ä"])
def test_a_host_that_is_no_name_is_refused(host) -> None:
    with pytest.raises(BadRequestError):
        to_application("hello", [(b"host", host.encode())], scheme="http", root=ROOT)


def test_headers_without_end_are_refused() -> None:
    with pytest.raises(TooManyHeadersError):
        sent(X__Long="a" * 40_000)


@pytest.mark.parametrize("use", ["script", "serviceworker", "sharedworker", "worker", "style", "Script"])
def test_no_page_gets_its_programs_from_a_plugin(use) -> None:
    with pytest.raises(BadRequestError, match="programs"):
        sent(Sec__Fetch__Dest=use)


def answered(*headers: tuple[str, str], hosts=(b"stoker:8550",), plugin="hello") -> dict[str, str]:
    given = [(name.encode(), value.encode()) for name, value in headers]
    return {name.decode(): value.decode() for name, value in from_application(plugin, given, root=ROOT, hosts=hosts)}


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Set-Cookie2",
        "Strict-Transport-Security",
        "Clear-Site-Data",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Service-Worker-Allowed",
        "Refresh",
        "Link",
        "Alt-Svc",
        "X-Accel-Redirect",
        "X-Sendfile",
        "X-Frame-Options",
        "X-Request-ID",
        "X-Stoker-Actor",
        "Stoker-Context",
        "WWW-Authenticate",
        "Content-Security-Policy-Report-Only",
        "Report-To",
        "NEL",
        "Speculation-Rules",
        "SourceMap",
        "Connection",
        "Transfer-Encoding",
        "Upgrade",
        "Something-New",
    ],
)
def test_what_no_plugin_says_to_browsers(name) -> None:
    assert name.lower() not in answered((name, "x"))
    first = name.lower().split("-")[0]  # a plugin's name gives it nothing
    assert name.lower() not in answered((name, "x"), plugin=first)


def test_what_a_plugin_may_say() -> None:
    got = answered(
        ("ETag", '"1"'),
        ("X-Total", "3"),
        ("Content-Type", "application/json"),
        ("Cache-Control", "private"),
    )
    assert got["etag"] == '"1"'
    assert got["x-total"] == "3"
    assert got["content-type"] == "application/json"
    assert got["cache-control"] == "private"


def test_every_answer_is_from_nowhere() -> None:
    got = answered(("Content-Security-Policy", "default-src *"), ("X-Content-Type-Options", "sniff"))
    assert got["content-security-policy"] == POLICY
    assert got["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert got["x-content-type-options"] == "nosniff"
    assert got["content-type"] == "application/octet-stream"
    assert got["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "kind", ["text/javascript", "application/x-javascript; a=b", "TEXT/CSS", "application/ecmascript", "application/wasm"]
)
def test_programs_come_as_text(kind) -> None:
    assert answered(("Content-Type", kind))["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("/api/plugins/hello/x?a=//b", "/api/plugins/hello/x?a=//b"),
        ("/api/plugins/hello", "/api/plugins/hello"),
        ("next", "next"),
        ("?page=2", "?page=2"),
        ("https://stoker:8550/api/plugins/hello/x", "/api/plugins/hello/x"),
        ("//stoker:8550/api/plugins/hello/x", None),
    ],
)
def test_redirects_stay_below(given, told) -> None:
    if told is None:
        with pytest.raises(StrayingAnswerError):
            answered(("Location", given))
    else:
        assert answered(("Location", given))["location"] == told


@pytest.mark.parametrize(
    "given",
    [
        "/",
        "/api/nodes",
        "/api/plugins/hello2/x",
        "/api/plugins/hello/../other/x",
        "/api/plugins/hello/%2e%2e/other",
        "../other/x",
        "..",
        "//evil.example/x",
        "///evil.example",
        "/\\evil.example",
        "https://evil.example/api/plugins/hello/x",
        "https://stoker:8550@evil.example/api/plugins/hello/",
        "https://stoker:8550/api/nodes",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:evil.example",
        "/api/plugins/hello/x\ty",
        "http://[",
    ],
)
def test_redirects_that_lead_out_are_no_answer(given) -> None:
    with pytest.raises(StrayingAnswerError):
        answered(("Location", given))
