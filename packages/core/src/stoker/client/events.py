# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reading server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec


class ServerSentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a stream."""

    id: str = ""
    event: str = "message"
    data: str = ""


def read_events(lines: Iterable[str]) -> Iterator[ServerSentEvent]:
    """Turn the lines of a stream into events; comments (pings) and half events at the end are dropped.

    One without data says with its id how far the stream is.
    """
    fields: dict[str, str] = {}
    data: list[str] = []
    for raw in lines:
        line = raw.rstrip("\r\n")
        if not line:
            if data or "id" in fields:
                yield ServerSentEvent(id=fields.get("id", ""), event=fields.get("event", "message"), data="\n".join(data))
            fields, data = {}, []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name:
            fields[name] = value
