# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""People on the command line: users, tokens, login links, and the audit of what they did."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess

import httpx
import pytest

PASSWORD = "correct horse battery"


@pytest.fixture
def secret(tmp_path):
    """A file with a password."""

    def write(password=PASSWORD):
        file = tmp_path / "password"
        file.write_text(password + "\n")
        return file

    return write


@pytest.fixture
def user(simulation, secret, request):
    """An operator with a name of the test's own; removed at the end."""
    name = f"u-{abs(hash(request.node.name)) % 10**8}"
    simulation.cli("users", "add", name, "--access", "operator", "--password-file", secret())
    yield name
    subprocess.run(simulation.command("users", "remove", name), env=simulation.surroundings(), check=False, capture_output=True)


def test_a_user_from_the_beginning_to_the_end(simulation, secret, user):
    assert user in simulation.cli("users", "list")
    assert "access viewer, disabled" in simulation.cli("users", "set", user, "--access", "viewer", "--disable")
    (found,) = [item for item in json.loads(simulation.cli("users", "list", "--json"))["items"] if item["name"] == user]
    assert (found["access"], found["disabled"]) == ("viewer", True)
    simulation.cli("users", "set", user, "--enable")
    simulation.cli("users", "passwd", user, "--password-file", secret("another fine password"))
    simulation.cli("users", "remove", user)
    assert user not in simulation.cli("users", "list")


def test_no_password_on_the_command_line_or_without_a_terminal(simulation):
    assert "--password-file" in simulation.cli("users", "add", "nobody", status=2)
    assert "no such option" in simulation.cli("users", "add", "nobody", "--password", "x", status=2).lower()
    assert "nothing to change" in simulation.cli("users", "set", "nobody", status=2)


def typed(simulation, *words, answers):
    """What a command says at a terminal where a person types answers, one for each prompt."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(
        simulation.command(*words), env=simulation.surroundings(), start_new_session=True, **streams
    ) as process:
        os.close(theirs)
        said, waiting = b"", list(answers)
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
                if waiting and chunk.rstrip().endswith(b":"):
                    os.write(ours, f"{waiting.pop(0)}\n".encode())
        except OSError:
            pass  # the other side is closed: that is the end
        os.close(ours)
        return process.wait(60), said.decode()


def test_a_password_is_asked_for_and_not_shown(simulation, user):
    new = "typed at a terminal"
    status, said = typed(simulation, "users", "passwd", user, answers=[new, "something else", new, new])
    assert status == 0, said
    assert "do not match" in said
    assert "set the password" in said
    assert new not in said


def test_a_person_makes_a_token_with_their_password(simulation, secret, user):
    made = simulation.cli(
        "tokens", "create", "laptop", "--access", "operator", "--sign-in", user, "--password-file", secret(), STOKER_DATA="/none"
    )
    token = made.strip()
    assert token.startswith("stoker_")
    assert "laptop" in simulation.cli("tokens", "list", STOKER_TOKEN=token)
    refused = simulation.cli("users", "list", STOKER_TOKEN=token, status=2)
    assert f"{user} with token 'laptop' has access operator" in refused
    assert "remedy" in refused
    wrong = simulation.cli("tokens", "create", "x", "--sign-in", user, "--password-file", secret("wrong wrong wrong"), status=2)
    assert "user or password is wrong" in wrong
    own = json.loads(simulation.cli("users", "passwd", user, "--password-file", secret(), "--json"))
    assert own["name"] == user
    simulation.cli("tokens", "revoke", "laptop", STOKER_TOKEN=token)
    assert "token" in simulation.cli("tokens", "list", STOKER_TOKEN=token, status=2)


def test_a_token_for_others_and_for_a_time(simulation, user):
    made = json.loads(simulation.cli("tokens", "create", "ci", "--user", user, "--expires", "2w", "--json"))
    assert made["user"] == user
    assert round((made["expires_at"] - made["created_at"]) / 86400) == 14
    assert json.loads(simulation.cli("tokens", "create", "old", "--expires", "never", "--json"))["expires_at"] is None
    assert "--expires" in simulation.cli("tokens", "create", "bad", "--expires", "soon", status=2)
    simulation.cli("tokens", "revoke", "old")


def test_a_login_link_opens_a_session(simulation):
    url = simulation.cli("login-link").strip()
    server, secret = url.split("/login#")
    with httpx.Client(base_url=server) as browser:
        assert browser.get("/login").status_code == 200
        assert browser.post("/api/session/link", json={"secret": secret}).json()["kind"] == "server"
        assert browser.get("/api/session").json()["user"] == "server"


def test_the_audit_is_listed_filtered_and_exported(simulation, user, tmp_path):
    simulation.cli("env", "create", "told")
    simulation.client.delete_environment("told")
    found = json.loads(simulation.cli("audit", "list", "--env", "told", "--json"))["items"]
    assert [entry["action"] for entry in found] == ["environment.delete", "environment.create"]
    assert found[0]["before"]["name"] == found[1]["after"]["name"] == "told"
    assert found[1]["actor"] == "server"
    assert "environment.create" in simulation.cli("audit", "list", "--env", "told", "--action", "environment", "--since", "1h")
    assert json.loads(simulation.cli("audit", "list", "--env", "told", "--until", "1h", "--json"))["items"] == []
    assert len(json.loads(simulation.cli("audit", "list", "--limit", "1", "--json"))["items"]) == 1
    assert "no moment" in simulation.cli("audit", "list", "--since", "yesterday", status=2)
    lines = simulation.cli("audit", "export", "--env", "told").splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["environment.create", "environment.delete"]
    file = tmp_path / "audit.csv"
    simulation.cli("audit", "export", "--env", "told", "--format", "csv", "--output", file)
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["action"] for row in rows] == ["environment.create", "environment.delete"]
    assert json.loads(rows[0]["after"])["name"] == "told"
    assert rows[0]["at"].endswith("+00:00")
