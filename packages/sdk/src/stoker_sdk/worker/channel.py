# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The way back: how a plugin's code asks the server, over the socket of its worker, with the token of its call."""

from __future__ import annotations

import http.client
import socket
import threading
from pathlib import Path
from typing import Final

import msgspec

from stoker_sdk.context.present import ApiAnswer
from stoker_sdk.errors import ChannelError, RefusedError
from stoker_sdk.model.json_value import JSON
from stoker_sdk.worker.protocol import BACK

_PATIENCE: Final = 60.0
_KEPT: Final = 8
_REFUSES: Final = 400
_HTTP_ERRORS: Final = (OSError, http.client.HTTPException)


class _Problem(msgspec.Struct):
    """What is read of a problem document."""

    type: str = ""
    detail: str = ""
    remedy: str = ""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("server", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Line:
    """The connections of one worker to its server; any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Take the path of the server's socket; nothing is connected yet."""
        self._path = path
        self._free: list[_Connection] = []
        self._lock = threading.Lock()

    def send(self, method: str, path: str, body: bytes | None, token: str) -> tuple[int, bytes]:
        """Ask once, and give status and body.

        Raises:
            ChannelError: the server cannot be reached.
        """
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection, kept = self._take()
        try:
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
            except _HTTP_ERRORS:
                if not kept:
                    raise
                connection.close()  # the server may have closed it while nobody asked anything: once more on a new one
                connection = _Connection(self._path)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
            read = answer.read()
        except _HTTP_ERRORS as error:
            connection.close()
            raise ChannelError(f"{type(error).__name__}: {error}") from error
        self._give(connection)
        return answer.status, read

    def _take(self) -> tuple[_Connection, bool]:
        with self._lock:
            return (self._free.pop(), True) if self._free else (_Connection(self._path), False)

    def _give(self, connection: _Connection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._free) < _KEPT:
                self._free.append(connection)
                return
        connection.close()


class Channel:
    """The way back of one call: what is asked is done for whom the call is made for, as long as the call lasts."""

    def __init__(self, line: Line, token: str) -> None:
        """Take the worker's line and the call's token."""
        self._line = line
        self._token = token

    def ask(self, operation: str, payload: object) -> bytes:
        """Let the server do an operation, e.g. ``records.get``; gives its result as JSON.

        Raises:
            ChannelError: the server cannot be reached.
            RefusedError: it refuses; the error says why.
        """
        status, body = self._line.send("POST", f"{BACK}{operation}", msgspec.json.encode(payload), self._token)
        if status >= _REFUSES:
            raise refusal(status, body)
        return body

    def request(self, method: str, path: str, body: JSON = None) -> ApiAnswer:
        """Ask the server's HTTP API.

        Raises:
            ChannelError: the server cannot be reached.
        """
        sent = None if body is None else msgspec.json.encode(body)
        status, given = self._line.send(method, path, sent, self._token)
        try:
            return ApiAnswer(status=status, body=msgspec.json.decode(given) if given else None)
        except msgspec.DecodeError:
            return ApiAnswer(status=status, body=given.decode("utf-8", "replace"))


def refusal(status: int, body: bytes) -> RefusedError:
    """The error that a problem document means."""
    try:
        problem, data = msgspec.json.decode(body, type=_Problem), msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError:
        problem, data = _Problem(detail=f"the server answered {status}."), {}
    return RefusedError(status, problem.type.rpartition(":")[2], problem.detail, problem.remedy, data)
