# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reaching a server: addresses, tokens and answers that are none of ours are explained."""

from __future__ import annotations

import httpx
import pytest
from stoker import errors
from stoker.client import ConnectionSettings, StokerClient

SERVER = "http://stoker.example.net:8550"


def ask(answer, **fields):
    """List environments of a server that always answers alike."""

    def handle(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    settings = ConnectionSettings(**{"server": SERVER, "token": "t", **fields})
    with StokerClient(settings, transport=httpx.MockTransport(handle)) as client:
        return client.environments()


@pytest.mark.parametrize("server", ["foo", "http://", "ftp://x", "http://x:70000", "http://x:0", "127.0.0.1:8550", ""])
def test_what_is_no_address_is_bad_input_and_says_how_one_looks(server):
    with pytest.raises(errors.InvalidInputError) as caught:
        ask(httpx.Response(200), server=server)
    assert repr(server) in caught.value.detail
    assert "https://stoker.example.net:8550" in caught.value.remedy


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, html="<h1>Not found</h1>"),
        httpx.Response(404, json={"detail": "nope"}),
        httpx.Response(200, html="<h1>Welcome</h1>"),
        httpx.Response(200, json=[1]),
        httpx.Response(302, headers={"Location": "/login"}),
        httpx.Response(502, text="Bad gateway"),
    ],
)
def test_an_answer_that_is_none_of_ours_names_the_address(answer):
    with pytest.raises(errors.ServerUnreachableError, match="is not a Stoker server") as caught:
        ask(answer)
    assert SERVER in caught.value.detail
    assert ".." not in str(caught.value)


def test_a_broken_connection_is_not_an_absent_server():
    with pytest.raises(errors.ServerUnreachableError, match="broke before it answered") as caught:
        ask(httpx.ReadError("Server disconnected."))
    assert ".." not in str(caught.value)
    with pytest.raises(errors.ServerUnreachableError, match="no server answers"):
        ask(httpx.ConnectError("refused"))


def refusal():
    document = {
        "type": "urn:stoker:problem:unauthorized",
        "status": 401,
        "detail": "no.",
        "remedy": "Send Authorization: Bearer.",
    }
    return httpx.Response(401, json=document)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"token_source": "--token"}, "from --token"),
        ({"token_source": "STOKER_TOKEN"}, "from STOKER_TOKEN"),
        ({"token": "", "data": "{folder}"}, "in {folder}/admin-token"),
        ({"token": "", "data": "{folder}/none"}, "there is no file {folder}/none/admin-token"),
    ],
)
def test_a_refused_token_names_server_source_and_remedy(tmp_path, fields, source):
    (tmp_path / "admin-token").write_text("old\n")
    with pytest.raises(errors.UnauthorizedError) as caught:
        ask(refusal(), **{key: value.format(folder=tmp_path) for key, value in fields.items()})
    assert SERVER in caught.value.detail
    assert source.format(folder=tmp_path) in caught.value.detail
    assert "Bearer" not in str(caught.value)
    assert caught.value.remedy


def test_a_problem_document_keeps_what_the_server_said():
    document = {"type": "urn:stoker:problem:conflict", "title": "Conflict", "status": 409, "detail": "a.", "remedy": "b.", "x": 1}
    with pytest.raises(errors.ConflictError) as caught:
        ask(httpx.Response(409, json=document))
    assert (caught.value.detail, caught.value.remedy) == ("a.", "b.")
    assert caught.value.data == {"kind": "conflict", "title": "Conflict", "status": 409, "x": 1, "findings": []}
