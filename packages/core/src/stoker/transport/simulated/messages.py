# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Messages between the server and a fleet of modelled nodes: length-prefixed MessagePack over a Unix socket."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from stoker.domain.action import Action

Operation = Literal[
    "connect",
    "facts",
    "observe",
    "pretended",
    "execute",
    "look",
    "attach",
    "forget",
    "offer",
    "add",
    "reboot",
    "behave",
    "status",
    "starts",
    "change",
]


class Request(msgspec.Struct, array_like=True):
    """Something that is asked of a node or of the fleet."""

    number: int
    operation: Operation
    node: str = ""
    attempt: str = ""
    action: Action | None = None
    contents: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    timeout: float = 0.0
    data: msgspec.Raw = msgspec.Raw(b"\xc0")


class Answer(msgspec.Struct, array_like=True):
    """What came of it: ``error`` is a word and a sentence, or ``data`` holds the answer."""

    number: int
    data: msgspec.Raw = msgspec.Raw(b"\xc0")
    error: str = ""
    detail: str = ""


_LENGTH: Final = struct.Struct("!I")
MAX_MESSAGE: Final = 64 * 1024 * 1024
ENCODER: Final = msgspec.msgpack.Encoder()


def frame(message: Request | Answer) -> bytes:
    """A message with its length in front."""
    body = ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and give every message that is complete.

        Raises:
            ValueError: a message is larger than any that the other side sends.
        """
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, position)
            if length > MAX_MESSAGE:
                raise ValueError(f"a message of {length} bytes")
            end = position + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            yield bytes(self._buffer[position + _LENGTH.size : end])
            position = end
        del self._buffer[:position]
