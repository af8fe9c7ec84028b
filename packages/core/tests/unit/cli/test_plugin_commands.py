# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Commands of plugins: made of what the server says, kept for help and completion, carried out by the plugin's application."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest
from stoker.cli import seen_commands
from stoker.cli.main import COMMANDS
from stoker.cli.main import run as run_stoker
from stoker.cli.session import Session
from stoker.domain.command_names import CORE_COMMANDS
from stoker.errors import ConflictError
from stoker.services.commands import refuse_core_names
from stoker_sdk import Plugin
from stoker_sdk.extension_points import commands
from stoker_sdk.extension_points.commands import Parameter


def parameter(name, kind="option", **more):
    return {"name": name, "kind": kind, "type": "text", "required": False, "multiple": False, "help": "", "choices": [], **more}


def command(name, method="GET", path="/labels", parameters=(), **more):
    return {
        "name": name,
        "title": f"Do {name}.",
        "method": method,
        "path": path,
        "parameters": list(parameters),
        "columns": [],
        "examples": [],
        **more,
    }


LABELS = command(
    "labels",
    parameters=[parameter("rack", multiple=True), parameter("all", "flag")],
    columns=["node", "label"],
    examples=["stoker x"],
)
SET = command(
    "set-label",
    "PUT",
    "/labels/{node}/{label}",
    [
        parameter("node", "argument", required=True),
        parameter("label", "argument", required=True),
        parameter("height", type="integer"),
        parameter("side", choices=["front", "back"]),
    ],
)
SHELVES = {"plugin": "shelves", "version": "1.0.0", "title": "Shelves of nodes", "commands": [LABELS, SET]}


class Server:
    """A server with one plugin, as the client sees it; what was asked of it is in ``asked``."""

    def __init__(self):
        self.asked = []
        self.plugins = [SHELVES]
        self.answer = httpx.Response(200, json={"items": []})
        self.away = False

    def __call__(self, request):
        if self.away:
            raise httpx.ConnectError("nobody there")
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        if request.url.path == "/api/commands":
            tag = f'"{len(self.plugins)}"'
            known = request.headers.get("if-none-match") == tag
            return httpx.Response(304) if known else httpx.Response(200, json={"items": self.plugins}, headers={"ETag": tag})
        return self.answer


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Server()


@pytest.fixture
def stoker(server, capsys):
    def run(*words, status=0):
        session = Session(server="http://stoker.example:8550", token="t", transport=httpx.MockTransport(server))
        found = run_stoker(words, session=session)
        out, err = capsys.readouterr()
        assert found == status, (found, out, err)
        return out if status == 0 else err

    return run


def test_a_command_is_answered_by_the_application_and_shown(server, stoker):
    server.answer = httpx.Response(200, json={"items": [{"label": "A", "node": "web1", "more": {"a": 1}}]})
    assert stoker("shelves", "labels", "--rack", "a b", "--rack", "c", "--all").split() == ["NODE", "LABEL", "web1", "A"]
    assert server.asked[-1] == ("GET", "/api/plugins/shelves/labels?rack=a+b&rack=c&all=true", None)
    assert json.loads(stoker("shelves", "labels", "--json"))["items"][0]["more"] == {"a": 1}
    server.answer = httpx.Response(200, json={"node": "web1", "ok": True})
    shown = stoker("shelves", "set-label", "web/1", "../..?x#y", "--height", "3", "--side", "back", "--env", "lab")
    assert [line.split() for line in shown.splitlines()] == [["node", "web1"], ["ok", "true"]]
    assert server.asked[-1] == (
        "PUT",
        "/api/environments/lab/plugins/shelves/labels/web%2F1/..%2F..%3Fx%23y",
        {"height": 3, "side": "back"},
    )


def test_what_does_not_fit_is_bad_input(server, stoker):
    assert "not a valid integer" in stoker("shelves", "set-label", "a", "b", "--height", "x", status=2)
    assert "front" in stoker("shelves", "set-label", "a", "b", "--side", "top", status=2)
    assert "not a name" in stoker("shelves", "set-label", "..", "b", status=2)
    assert "No such command" in stoker("shelves", "nothing", status=2)
    assert "No such command" in stoker("nothing", status=2)
    assert [ask for ask in server.asked if ask[1] != "/api/commands"] == []


def test_errors_of_the_plugin_are_told_like_the_servers(server, stoker):
    problem = {"type": "urn:stoker:problem:not-found", "status": 404, "detail": "no node web9.", "remedy": "Name another."}
    server.answer = httpx.Response(404, json=problem)
    told = stoker("shelves", "labels", status=2)
    assert "error: no node web9." in told
    assert "remedy: Name another." in told
    server.answer = httpx.Response(500, html="<h1>Oh</h1>")
    told = stoker("shelves", "labels", status=1)
    assert "plugin shelves answered 500 Internal Server Error." in told
    assert "'stoker plugins logs shelves' shows what its code wrote; if the command is about an environment" in told
    assert "--env" not in stoker("shelves", "labels", "--env", "lab", status=1)
    server.answer = httpx.Response(200, text="hello")
    assert "not JSON" in stoker("shelves", "labels", status=1)


def test_help_asks_nobody_and_shows_what_was_seen(server, stoker):
    assert "Commands of plugins" not in stoker("--help")
    assert server.asked == []
    assert "Do set-label." in stoker("shelves", "--help")
    shown = stoker("shelves", "labels", "--help")
    assert "stoker x" in shown
    assert "--env" in shown
    server.asked.clear()
    server.away = True
    assert "Shelves of nodes" in stoker("--help").partition("Commands of plugins")[2]
    assert server.asked == []


def test_what_was_seen_is_renewed_by_its_tag_and_used_while_the_server_is_away(server, stoker):
    stoker("shelves", "labels")
    stoker("shelves", "labels")
    assert seen_commands.Seen("http://stoker.example:8550").plugins == {"shelves": SHELVES}
    assert seen_commands.Seen("http://other.example:8550").plugins == {}
    server.plugins = []
    assert "No such command 'shelves'" in stoker("shelves", "labels", status=2)
    server.plugins = [SHELVES]
    stoker("shelves", "labels")
    server.away = True
    assert "no server answers" in stoker("shelves", "labels", status=1)
    seen_commands.file_for("http://stoker.example:8550").write_text("{broken")
    assert "Commands of plugins" not in stoker("--help")


def test_completion_knows_what_was_seen(server, stoker, tmp_path):
    stoker("shelves", "labels")

    def complete(*words):
        surroundings = {
            "PATH": "",
            "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path),
            "STOKER_SERVER": "http://stoker.example:8550",
            "COMP_WORDS": " ".join(("stoker", *words)),
            "COMP_CWORD": str(len(words)),
            "_STOKER_COMPLETE": "bash_complete",
        }
        call = "from stoker.cli.main import stoker; stoker(prog_name='stoker')"
        done = subprocess.run([sys.executable, "-c", call], env=surroundings, capture_output=True, text=True, check=False)
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert complete("shel") == {"shelves"}
    assert complete("shelves", "s") == {"set-label"}
    assert "--rack" in complete("shelves", "labels", "--")


def test_the_first_words_of_the_core_are_its_own():
    others = {"lab"}
    assert set(COMMANDS) | others <= CORE_COMMANDS
    one = commands.Command(name="a", title="A", path="/a")
    with pytest.raises(ConflictError, match="stoker nodes"):
        refuse_core_names(Plugin(name="nodes", version="1", title="N", contributions=[one]))
    refuse_core_names(Plugin(name="nodes", version="1", title="N"))
    refuse_core_names(Plugin(name="shelves", version="1", title="S", contributions=[one]))


@pytest.mark.parametrize(
    ("made", "rules"),
    [
        ({"path": "/a/{node}"}, {"X071"}),
        ({"path": "/a/{node}", "parameters": [Parameter(name="node", kind="argument", required=True)]}, set()),
        ({"path": "/a", "parameters": [Parameter(name="env")]}, {"X072"}),
        ({"path": "/a", "parameters": [Parameter(name="b"), Parameter(name="b")]}, {"X072"}),
    ],
)
def test_a_command_is_checked(made, rules):
    assert {finding.rule for finding in commands.Command(name="a", title="A", **made).check()} == rules


@pytest.mark.parametrize("path", ["/../../users/ann", "/a/../..", "/a//b", "/labels?all=1", "/labels#x", "/.\\..\\users"])
def test_no_command_leads_out_of_its_application(server, stoker, path):
    server.plugins = [{**SHELVES, "commands": [command("wipe", "DELETE", path)]}]
    assert "leads out of its application" in stoker("shelves", "wipe", status=1)
    assert [ask for ask in server.asked if ask[1] != "/api/commands"] == []


def test_nothing_of_a_plugin_steers_the_terminal(server, stoker):
    evil = "\x1b]0;x\x07\x9b31m"
    said = {**command("labels"), "title": f"Do {evil}", "parameters": [parameter("rack", help=evil)], "examples": [evil]}
    server.plugins = [{**SHELVES, "title": evil, "commands": [said]}]
    shown = stoker("shelves", "--help") + stoker("shelves", "labels", "--help")
    for answer in ([{f"n{evil}": f"v{evil}"}], {f"n{evil}": f"v{evil}"}):
        server.answer = httpx.Response(200, json=answer)
        shown += stoker("shelves", "labels")
    assert not {"\x1b", "\x07", "\x9b"} & {*shown}
    assert "\\x1b" in shown.lower()
