# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Relaying to a peer that answers badly, late, without end, or not at all: a clean problem or a broken answer, never a hang."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stoker.errors import StokerError
from stoker.plugin_host import relay
from stoker.plugin_host.app_traffic import Passage
from stoker.plugin_host.relay import AnswerError, HttpRelay, LateAnswerError, Request, StalledRequestError, body_of
from stoker.plugin_host.unix_http import BrokenExchangeError, Exchange

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(act: Peer):
    """A process behind a socket, which does what the test says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await act(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        path = Path(folder) / "s"
        server = await asyncio.start_unix_server(serve, path)
        try:
            yield path
        finally:
            server.close()


class Client:
    """The client's side of an exchange."""

    def __init__(self, *pieces: bytes, has_body: bool = False) -> None:
        self.pieces = list(pieces)
        self.has_body = has_body
        self.left = asyncio.Event()
        self.got: list[dict[str, object]] = []
        self.stuck = False

    async def receive(self) -> dict[str, object]:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.stuck}
        if self.has_body and self.stuck:
            await asyncio.Event().wait()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, object]) -> None:
        self.got.append(message)

    @property
    def status(self) -> object:
        return self.got[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(bytes(message.get("body", b"")) for message in self.got[1:])

    @property
    def complete(self) -> bool:
        return bool(self.got) and self.got[-1].get("more_body") is False


async def ask(act: Peer, client: Client | None = None, passage: Passage | None = None, timeout: float = 5.0) -> Client:
    client = client or Client(b"")
    request = Request(
        method="POST" if client.has_body else "GET",
        target="/application/x",
        headers=[(b"host", b"h")],
        has_body=client.has_body,
        who="plugin p 1",
        timeout=timeout,
    )
    async with peer(act) as path:
        exchange = await Exchange.connect(path)
        made = HttpRelay(request, exchange, lambda answer: list(answer.headers), passage or Passage("p", "", "1"))
        async with asyncio.timeout(10):
            await made.run(client.receive, client.send)
    return client


def saying(*parts: bytes, wait: bool = False) -> Peer:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        if wait:
            await reader.read()

    return act


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\x00c\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(8000)) + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_a_problem(said) -> None:
    with pytest.raises(AnswerError, match="plugin p 1 gave no answer"):
        await ask(saying(said))


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_that_breaks_off_stays_unfinished(said) -> None:
    client = await ask(saying(said))
    assert (client.status, client.body, client.complete) == (200, b"abc", False)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"abc"),
    ],
)
async def test_answers_with_every_framing_pass(said, body) -> None:
    client = await ask(saying(said))
    assert (client.status, client.body, client.complete) == (200, body, True)


async def test_an_answer_must_begin_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(LateAnswerError):
        await ask(saying(b"HTTP/1.1 200 OK\r\n", wait=True), timeout=0.2)
    assert time.monotonic() - begun < 2


async def test_endless_preliminary_answers_are_no_answer() -> None:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    with pytest.raises(LateAnswerError):
        await ask(act, timeout=0.3)


async def test_a_body_that_stands_still_ends(monkeypatch) -> None:
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.2)
    client = await ask(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", wait=True))
    assert (client.body, client.complete) == (b"abc", False)
    stuck = Client(b"abc", has_body=True)
    stuck.stuck = True
    with pytest.raises(StalledRequestError):
        await ask(saying(wait=True), stuck)


async def test_a_client_that_goes_takes_the_request_with_it() -> None:
    gone = asyncio.Event()

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        client.left.set()
        assert await reader.read() == b""
        gone.set()

    client = Client(b"")
    await ask(act, client)
    assert gone.is_set()
    assert client.got == []


async def test_bodies_go_both_ways_at_once_and_no_faster_than_they_are_taken() -> None:
    """An echo that answers before the request has ended."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
            data = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n" % size + data)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await reader.readexactly(2)

    pieces = [bytes([number]) * 100_000 for number in range(50)]
    client = await ask(act, Client(*pieces, has_body=True))
    assert client.body == b"".join(pieces)
    assert client.complete


async def test_an_answer_before_the_upload_has_ended_counts() -> None:
    client = Client(*[b"a" * 65536] * 64, has_body=True)
    await ask(saying(b"HTTP/1.1 413 Too large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"), client)
    assert (client.status, client.body, client.complete) == (413, b"no", True)


async def test_a_stream_that_is_ended_from_here_ends_well_another_answer_does_not() -> None:
    for kind, complete in ((b"text/event-stream", True), (b"text/plain", False)):
        passage = Passage("p", "", "1")
        asyncio.get_running_loop().call_later(0.2, passage.end, "the version changed")
        said = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n" % kind
        client = await ask(saying(said, wait=True), passage=passage)
        assert (client.body, client.complete) == (b"abc", complete)
    with pytest.raises(AnswerError, match="the version changed"):
        await ask(saying(wait=True), passage=passage)


async def test_a_client_that_takes_nothing_does_not_hold_an_ended_request() -> None:
    class Slow(Client):
        async def send(self, message: dict[str, object]) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()
            self.got.append(message)

    passage = Passage("p", "", "1")
    asyncio.get_running_loop().call_later(0.1, passage.end, "the version changed")
    await ask(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", wait=True), Slow(b""), passage)


async def test_a_status_without_a_body_has_none() -> None:
    client = await ask(saying(b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 10\r\n\r\n"))
    assert (client.status, client.body, client.complete) == (304, b"", True)
    assert b"content-length" not in dict(client.got[0]["headers"])


async def test_nobody_behind_the_socket(tmp_path) -> None:
    with pytest.raises(BrokenExchangeError) as told:
        await Exchange.connect(tmp_path / "nothing")
    assert not told.value.sent
    assert isinstance(told.value, StokerError)


def test_what_has_a_body() -> None:
    assert body_of([(b"Content-Length", b"3")])
    assert body_of([(b"Transfer-Encoding", b"chunked")])
    assert not body_of([(b"content-length", b"0")])
    assert not body_of([])
