# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever is done, it is answered alike on SQLite and PostgreSQL, and gives the same plan."""

from __future__ import annotations

import itertools
import re
import shutil
import uuid

import pydantic
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from litestar.testing import TestClient
from stoker.app import build_app, build_context, open_vault
from stoker.config import ServerConfig
from stoker_sdk import Plugin, ref
from stoker_sdk.bundle import write_bundle
from stoker_sdk.extension_points import config_files, node_packages, roles, settings, tasks
from stoker_sdk.manifest import to_manifest

NODES = 3
NAMES = ["alpha", "Beta", "al-pha"]
"""Three plugins whose order depends on how texts are compared, were they not compared by bytes."""
MOMENTS = re.compile(r'"(at|created_at|finished_at|facts_at|installed_at|status_reason)":[^,}]*')


class Text(pydantic.BaseModel):
    text: str = settings.field("old", title="Text")
    token: str | None = settings.field(None, title="Token", secret=True)


def plugin(number):
    name = f"equal-{number}"
    return Plugin(
        name=name,
        version="1.0.0",
        title=name,
        contributions=[
            roles.Role(name=name),
            settings.Settings.from_model(Text),
            config_files.Option(path="/etc/equal.ini", roles=["*"], section=NAMES[number], key="k", value=ref.settings.text),
            config_files.WholeFile(path=f"/etc/{name}", roles=[name], content=ref.settings.text),
            node_packages.NodePackages(roles=[name], packages=[f"pkg{number}"]),
            tasks.Shell(id="step", roles=[name], run=f"{name}-step", always=number == 1),
        ],
    )


numbers, nodes = st.integers(0, 2), st.integers(0, NODES - 1)
texts = st.sampled_from(["", "Ä", "a b", "%(x)s :y ?", "line\nline", "nul\0", "'\"\\"])
OPERATIONS = st.one_of(
    st.tuples(st.just("enable"), numbers, texts, texts),
    st.tuples(st.just("disable"), numbers),
    st.tuples(st.just("assign"), nodes, st.lists(numbers, max_size=3, unique=True)),
    st.tuples(st.just("leave"), nodes),
    st.tuples(st.just("override"), numbers, texts),
    st.tuples(st.just("look"), texts),
    st.tuples(st.just("plan")),
)


@pytest.fixture(scope="module")
def both(tmp_path_factory, simulation, postgresql_server):
    """The same server twice: with the same master key, and nodes of the same fleet."""
    clients, contexts = [], []
    for kind in ("sqlite", "postgresql"):
        folder = tmp_path_factory.mktemp(kind) / "data"
        folder.mkdir()
        if contexts:
            shutil.copy(contexts[0].config.data_dir / "master.key", folder / "master.key")
        url = "" if kind == "sqlite" else postgresql_server.create()
        config = ServerConfig(data_dir=folder, database=url, fleet_socket=simulation.socket)
        contexts.append(build_context(config, open_vault(config)))
        client = TestClient(build_app(contexts[-1]), base_url="http://127.0.0.1:8550", raise_server_exceptions=False)
        client.__enter__()
        client.headers["Authorization"] = f"Bearer {config.token_file.read_text().strip()}"
        clients.append(client)
        for number in range(3):
            bundle = write_bundle(to_manifest(plugin(number)), {}, folder.parent).read_bytes()
            assert client.post("/api/plugins", content=bundle).status_code == 201
    yield clients
    for client, context in zip(clients, contexts, strict=True):
        client.blocking_portal.call(context.transports["simulated"].close)
        client.__exit__(None, None, None)
        context.database.close()


@pytest.fixture(scope="module")
def same_ids():
    """What is random is the same on both: a function that begins a new row of ids."""
    turns, row = itertools.count(1), [iter(())]
    patching = pytest.MonkeyPatch()
    patching.setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(row[0]), version=4))

    def begin(turn=None):
        turn = next(turns) if turn is None else turn
        row[0] = (turn * 10**6 + place << 80 for place in itertools.count())
        return turn

    yield begin
    patching.undo()


def request(environment, operation):
    word, *given = operation
    base = f"/api/environments/{environment}"
    if word == "enable":
        return "PUT", f"{base}/plugins/equal-{given[0]}", {"settings": {"text": given[1], "token": given[2] or None}}
    if word == "disable":
        return "DELETE", f"{base}/plugins/equal-{given[0]}", None
    if word == "assign":
        return "PUT", f"{base}/nodes/{environment}{given[0] + 1}", {"roles": [f"equal-{number}" for number in given[1]]}
    if word == "leave":
        return "DELETE", f"{base}/nodes/{environment}{given[0] + 1}", None
    if word == "override":
        return "PUT", f"{base}/overrides", {"path": "/etc/equal.ini", "section": NAMES[given[0]], "key": "k", "value": given[1]}
    if word == "look":
        return "GET", f"/api/nodes/{given[0].replace(chr(0), '%00').replace('?', '%3F').replace(chr(10), '%0A')}", None
    return "POST", f"{base}/plans", None


@hypothesis(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=st.lists(OPERATIONS, min_size=3, max_size=12))
def test_the_same_operations_give_the_same_answers_and_the_same_plan(both, same_ids, simulation, operations):
    environment = f"equal{same_ids()}"
    simulation.ask("add", data=(NODES, environment), kind=list[str])
    steps = [("POST", "/api/environments", {"name": environment})]
    for number in range(1, NODES + 1):
        node = f"{environment}{number}"
        steps.append(("POST", "/api/nodes", {"name": node, "address": node, "transport": "simulated"}))
    steps += [request(environment, operation) for operation in operations]
    steps += [request(environment, word) for word in (("assign", 0, [0]), ("enable", 0, "x", "y"), ("assign", 0, [0]), ("plan",))]
    for method, path, body in steps:
        turn = same_ids()
        answers = []
        for client in both:
            same_ids(turn)
            answers.append(client.request(method, path, json=body))
        first, second = ((answer.status_code, MOMENTS.sub("", answer.text)) for answer in answers)
        assert first[0] < 500, first
        assert first == second, (method, path, body)
    assert len({answer.json()["digest"] for answer in answers}) == 1
    assert answers[0].status_code == 201
