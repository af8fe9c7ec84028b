# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""People: users, tokens, browser sessions, one-time links, and how guessing is slowed down."""

from __future__ import annotations

import time

import pytest
from litestar.testing import TestClient
from sqlalchemy import select, update
from stoker.app import build_app
from stoker.db import tables
from stoker.services import guessing, identities
from stoker.services.context import ServerContext

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PASSWORD = "correct horse battery"
OTHER = "another fine password"


@pytest.fixture
def browser(client: TestClient, server_context: ServerContext):
    """A client without a token, of the server that ``client`` runs."""
    return TestClient(build_app(server_context), base_url="http://127.0.0.1:8550", raise_server_exceptions=False)


@pytest.fixture
def anna(client: TestClient) -> dict[str, object]:
    return client.post("/api/users", json={"name": "anna", "password": PASSWORD, "access": "operator"}).json()


def sign_in(browser: TestClient, password: str = PASSWORD, user: str = "anna"):
    return browser.post("/api/session", json={"user": user, "password": password})


def bearer(client: TestClient, **fields: object) -> dict[str, str]:
    made = client.post("/api/tokens", json={"name": "t", **fields})
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


def audited(context: ServerContext) -> list[tuple[str, str, str]]:
    table = tables.audit_log
    with context.database.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    return [(row.actor, row.action, row.object) for row in rows]


# Users


def test_a_user_is_added_changed_removed(client: TestClient, anna) -> None:
    assert (anna["name"], anna["access"]) == ("anna", "operator")
    assert client.get("/api/users").json()["items"] == [anna]
    changed = client.patch("/api/users/anna", json={"access": "viewer"})
    assert changed.json()["access"] == "viewer"
    assert client.delete("/api/users/anna").status_code == 204
    assert client.get("/api/users/anna").status_code == 404


def test_no_password_is_stored_or_told(client: TestClient, server_context: ServerContext, browser, caplog) -> None:
    secret = "telltale password 77"
    shown = client.post("/api/users", json={"name": "anna", "password": secret}).text
    shown += sign_in(browser, secret).text + sign_in(browser, secret + "x").text + caplog.text
    shown += client.post("/api/users", json={"name": "bob", "password": secret[:5]}).text
    with server_context.database.read() as connection:
        for table in tables.metadata.sorted_tables:
            shown += repr(connection.execute(select(table)).all())
    assert secret not in shown
    assert secret[:5] not in shown
    assert "$argon2id$" in shown


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "anna", "password": "short"}, 422),
        ({"name": "anna", "password": "x" * 2000}, 422),
        ({"name": "anna", "password": "aaaaaaaaaaaaaaaa"}, 422),
        ({"name": "a b", "password": PASSWORD}, 422),
        ({"name": "server", "password": PASSWORD}, 422),
        ({"name": "anna", "password": PASSWORD, "access": "king"}, 400),
        ({"name": "anna"}, 400),
    ],
)
def test_bad_users_are_refused(client: TestClient, body, status) -> None:
    assert client.post("/api/users", json=body).status_code == status
    assert client.get("/api/users").json()["items"] == []


def test_a_name_is_taken_once(client: TestClient, anna) -> None:
    assert client.post("/api/users", json={"name": "anna", "password": PASSWORD}).status_code == 409


def test_users_cannot_lock_themselves_out(client: TestClient) -> None:
    client.post("/api/users", json={"name": "root", "password": PASSWORD, "access": "admin"})
    root = bearer(client, user="root", access="admin")
    for answer in (
        client.delete("/api/users/root", headers=root),
        client.patch("/api/users/root", json={"access": "viewer"}, headers=root),
        client.patch("/api/users/root", json={"disabled": True}, headers=root),
    ):
        assert answer.status_code == 409
        assert "last enabled admin" in answer.json()["detail"]
    client.post("/api/users", json={"name": "second", "password": PASSWORD, "access": "admin"})
    assert client.patch("/api/users/second", json={"disabled": True}, headers=root).status_code == 200
    assert client.delete("/api/users/root", headers=root).status_code == 409, "a disabled admin does not count"
    assert client.delete("/api/users/root").status_code == 204, "the server's own token may"


def test_one_sees_oneself_and_changes_ones_own_password(client: TestClient, anna, browser) -> None:
    own = bearer(client, user="anna")
    client.post("/api/users", json={"name": "bob", "password": PASSWORD})
    assert client.get("/api/users/anna", headers=own).json()["name"] == "anna"
    assert client.get("/api/users/bob", headers=own).status_code == 403
    assert client.put("/api/users/bob/password", json={"password": OTHER}, headers=own).status_code == 403
    assert client.put("/api/users/anna/password", json={"password": OTHER}, headers=own).status_code == 403
    wrong = {"password": OTHER, "old_password": "not this one at all"}
    assert client.put("/api/users/anna/password", json=wrong, headers=own).status_code == 403
    csrf = sign_in(browser).json()["csrf"]
    right = {"password": OTHER, "old_password": PASSWORD}
    assert client.put("/api/users/anna/password", json=right, headers=own).status_code == 200
    assert browser.get("/api/session", headers={"X-CSRF-Token": csrf}).status_code == 401, "other sessions end"
    assert sign_in(browser).status_code == 401
    assert sign_in(browser, OTHER).status_code == 201


# Tokens


def test_a_token_is_shown_once_and_stored_as_a_hash(client: TestClient, anna, server_context: ServerContext) -> None:
    made = client.post("/api/tokens", json={"name": "ci", "user": "anna", "access": "operator"}).json()
    assert 89 < (made["expires_at"] - time.time()) / 86400 < 91
    listed = {token["name"]: token for token in client.get("/api/tokens").json()["items"]}
    assert listed["ci"]["user"] == "anna"
    assert listed["admin"]["user"] == ""
    everything = client.get("/api/tokens").text
    with server_context.database.read() as connection:
        for table in tables.metadata.sorted_tables:
            everything += repr(connection.execute(select(table)).all())
    assert made["token"] not in everything


def test_a_revoked_token_is_refused_at_once(client: TestClient, anna) -> None:
    own = bearer(client, user="anna")
    assert client.get("/api/nodes", headers=own).status_code == 200
    assert client.delete("/api/tokens/t", headers=own).status_code == 204
    assert client.get("/api/nodes", headers=own).status_code == 401


def test_tokens_and_sessions_end_with_their_user(client: TestClient, anna, browser) -> None:
    own = bearer(client, user="anna")
    sign_in(browser)
    assert browser.get("/api/nodes").status_code == client.get("/api/nodes", headers=own).status_code == 200
    client.patch("/api/users/anna", json={"disabled": True})
    assert browser.get("/api/nodes").status_code == client.get("/api/nodes", headers=own).status_code == 401
    assert sign_in(browser).status_code == 401
    client.patch("/api/users/anna", json={"disabled": False})
    assert client.get("/api/nodes", headers=own).status_code == 200
    sign_in(browser)
    client.delete("/api/users/anna")
    assert browser.get("/api/nodes").status_code == client.get("/api/nodes", headers=own).status_code == 401


def test_a_token_ends(client: TestClient, anna, server_context: ServerContext) -> None:
    own = bearer(client, user="anna", expires_in_days=1)
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.tokens).where(tables.tokens.c.name == "t").values(expires_at=time.time() - 1))
    assert client.get("/api/nodes", headers=own).status_code == 401


def test_only_admins_make_tokens_without_an_end_or_for_others(client: TestClient, anna) -> None:
    own = bearer(client, user="anna", access="operator")
    client.post("/api/users", json={"name": "bob", "password": PASSWORD})
    for body in ({"expires_in_days": None}, {"user": "bob"}, {"access": "admin"}):
        answer = client.post("/api/tokens", json={"name": "x", **body}, headers=own)
        assert answer.status_code == 403, body
    assert client.post("/api/tokens", json={"name": "x", "user": "bob", "access": "operator"}).status_code == 403
    made = client.post("/api/tokens", json={"name": "forever", "expires_in_days": None})
    assert made.json()["expires_at"] is None


def test_a_token_makes_none_that_outlives_it(client: TestClient, anna) -> None:
    own = bearer(client, user="anna", expires_in_days=1)
    made = client.post("/api/tokens", json={"name": "later", "expires_in_days": 90}, headers=own).json()
    assert made["expires_at"] < time.time() + 86400 + 1


def test_others_tokens_are_not_seen_or_revoked(client: TestClient, anna) -> None:
    own = bearer(client, user="anna")
    client.post("/api/users", json={"name": "bob", "password": PASSWORD})
    client.post("/api/tokens", json={"name": "bobs", "user": "bob"})
    assert [token["name"] for token in client.get("/api/tokens", headers=own).json()["items"]] == ["t"]
    assert client.delete("/api/tokens/bobs", headers=own).status_code == 404
    assert client.delete("/api/tokens/admin", headers=own).status_code == 404
    assert client.delete("/api/tokens/admin").status_code == 409


def test_last_use_is_written_seldom(client: TestClient, anna, server_context: ServerContext) -> None:
    own = bearer(client, user="anna")

    def used() -> float | None:
        return {token["name"]: token for token in client.get("/api/tokens").json()["items"]}["t"]["last_used_at"]

    assert used() is None
    client.get("/api/nodes", headers=own)
    first = used()
    assert first is not None
    server_context.identities.forget()
    client.get("/api/nodes", headers=own)
    assert used() == first


def test_who_is_shut_out_by_another_process_is_out_within_a_second(client: TestClient, anna, server_context) -> None:
    own = bearer(client, user="anna")
    assert client.get("/api/nodes", headers=own).status_code == 200
    with server_context.database.transaction() as connection:  # as another process would
        connection.execute(tables.tokens.delete().where(tables.tokens.c.name == "t"))
    time.sleep(identities.REMEMBERED_SECONDS + 0.1)
    assert client.get("/api/nodes", headers=own).status_code == 401


# Browsers


def test_a_browser_signs_in_and_out(client: TestClient, anna, browser) -> None:
    answer = sign_in(browser)
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    found = browser.get("/api/session").json()
    assert found == answer.json()
    assert (found["user"], found["access"], found["kind"]) == ("anna", "operator", "user")
    assert 11.9 < (found["expires_at"] - time.time()) / 3600 <= 12
    csrf = {"X-CSRF-Token": found["csrf"]}
    assert browser.delete("/api/session").status_code == 403
    assert browser.delete("/api/session", headers=csrf).status_code == 204
    assert browser.get("/api/session").status_code == 401


def test_a_browser_changes_things_with_the_csrf_token_alone(client: TestClient, anna, browser) -> None:
    csrf = sign_in(browser).json()["csrf"]
    body = {"name": "e"}
    for headers in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": csrf[:-1]}):
        answer = browser.post("/api/environments", json=body, headers=headers)
        assert answer.status_code == 403
        assert "X-CSRF-Token" in answer.json()["detail"]
    foreign = {"X-CSRF-Token": csrf, "Origin": "https://evil.example"}
    assert browser.post("/api/environments", json=body, headers=foreign).status_code == 403
    own = {"X-CSRF-Token": csrf, "Origin": "http://127.0.0.1:8550"}
    assert browser.post("/api/environments", json=body, headers=own).status_code == 201


def test_another_sites_page_signs_nobody_in(client: TestClient, anna, browser) -> None:
    body = {"user": "anna", "password": PASSWORD}
    assert browser.post("/api/session", json=body, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "values",
    [{"expires_at": time.time() - 1}, {"last_used_at": time.time() - identities.IDLE_SECONDS - 1}],
)
def test_a_session_ends_after_its_life_and_when_idle(client, anna, browser, server_context: ServerContext, values) -> None:
    sign_in(browser)
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.sessions).values(**values))
    server_context.identities.forget()
    assert browser.get("/api/nodes").status_code == 401


def test_with_tls_the_cookie_is_secure(client: TestClient, server_context: ServerContext, anna) -> None:
    config = server_context.config
    server_context.config = type(config)(data_dir=config.data_dir, tls=True)
    browser = TestClient(build_app(server_context), base_url="https://127.0.0.1:8550")  # of the server that client runs
    cookie = sign_in(browser).headers["set-cookie"]
    assert cookie.startswith("__Host-stoker_session=")
    assert "secure" in cookie.lower()
    assert browser.get("/api/session").json()["user"] == "anna"


def test_a_link_signs_in_once(client: TestClient, browser, server_context: ServerContext) -> None:
    link = client.post("/api/session/links").json()
    path, secret = link["path"].split("#")
    page = browser.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert secret not in page.text
    answer = browser.post("/api/session/link", json={"secret": secret})
    assert (answer.status_code, answer.json()["kind"], answer.json()["access"]) == (201, "server", "admin")
    csrf = {"X-CSRF-Token": answer.json()["csrf"]}
    assert browser.post("/api/environments", json={"name": "e"}, headers=csrf).status_code == 201
    assert browser.post("/api/session/links", headers=csrf).status_code == 409
    again = browser.post("/api/session/link", json={"secret": secret})
    assert again.status_code == 401
    with server_context.database.read() as connection:
        assert connection.execute(select(tables.login_links)).all() == []


def test_a_link_gets_old(client: TestClient, browser, server_context: ServerContext) -> None:
    secret = client.post("/api/session/links").json()["path"].split("#")[1]
    with server_context.database.transaction() as connection:
        connection.execute(update(tables.login_links).values(expires_at=time.time() - 1))
    assert browser.post("/api/session/link", json={"secret": secret}).status_code == 401


def test_a_links_session_has_the_tokens_rights_and_ends_with_it(client: TestClient, anna, browser) -> None:
    own = bearer(client, user="anna", access="viewer")
    secret = client.post("/api/session/links", headers=own).json()["path"].split("#")[1]
    found = browser.post("/api/session/link", json={"secret": secret}).json()
    assert (found["user"], found["access"]) == ("anna", "viewer")
    client.delete("/api/tokens/t", headers=own)
    assert browser.get("/api/session").status_code == 401


# Guessing


def test_guessing_is_stopped_for_a_user(client: TestClient, anna, browser, server_context: ServerContext) -> None:
    for _ in range(guessing.PER_USER):
        assert sign_in(browser, "wrong wrong wrong").status_code == 401
    stopped = sign_in(browser)
    assert stopped.status_code == 429, "also the right password waits"
    assert 0 < int(stopped.headers["retry-after"]) <= guessing.WINDOW_SECONDS
    assert sign_in(browser, user="nobody").status_code == 401, "others may still try"
    with server_context.database.transaction() as connection:
        table = tables.failed_sign_ins
        connection.execute(update(table).values(at=table.c.at - guessing.WINDOW_SECONDS))
    assert sign_in(browser).status_code == 201


def test_guessing_is_stopped_for_an_address(client: TestClient, browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "PER_ADDRESS", 3)
    for number in range(3):
        assert sign_in(browser, user=f"nobody{number}").status_code == 401
    assert sign_in(browser, user="nobody9").status_code == 429


def test_success_begins_the_count_anew(client: TestClient, anna, browser) -> None:
    for _ in range(2):
        for _ in range(guessing.PER_USER - 1):
            assert sign_in(browser, "wrong wrong wrong").status_code == 401
        assert sign_in(browser).status_code == 201


def test_an_own_old_password_is_not_guessed_either(client: TestClient, anna) -> None:
    own = bearer(client, user="anna")
    body = {"password": OTHER, "old_password": "wrong wrong wrong"}
    found = [client.put("/api/users/anna/password", json=body, headers=own).status_code for _ in range(guessing.PER_USER + 1)]
    assert found == [*[403] * guessing.PER_USER, 429]


def test_an_unknown_user_costs_as_much_as_a_known_one(client: TestClient, anna, browser) -> None:
    sign_in(browser, "warm up warm up", user="nobody")

    def seconds(user: str) -> float:
        begin = time.perf_counter()
        assert sign_in(browser, "wrong wrong wrong", user=user).status_code == 401
        return time.perf_counter() - begin

    known, unknown = min(seconds("anna") for _ in range(3)), min(seconds("nobody") for _ in range(3))
    assert unknown > known / 3


def test_the_audit_tells_of_people(client: TestClient, anna, browser, server_context: ServerContext) -> None:
    sign_in(browser, "wrong wrong wrong")
    sign_in(browser, user="my-password-in-the-wrong-field")
    csrf = sign_in(browser).json()["csrf"]
    browser.post("/api/environments", json={"name": "e"}, headers={"X-CSRF-Token": csrf})
    browser.delete("/api/session", headers={"X-CSRF-Token": csrf})
    assert audited(server_context)[-6:] == [
        ("server", "user.add", "anna"),
        ("stranger", "session.refuse", "anna"),
        ("stranger", "session.refuse", ""),
        ("anna", "session.begin", "anna"),
        ("anna", "environment.create", "e"),
        ("anna", "session.end", "anna"),
    ]
