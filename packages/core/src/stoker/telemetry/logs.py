# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Log lines: text for people or JSON for programs, each with who and what it is about, and without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter

from stoker.domain import actor
from stoker.telemetry import subject

LogFormat = Literal["text", "json"]
Redact = Callable[[str], str]

_CHATTY: Final = ("asyncssh", "alembic", "httpx", "httpcore", "uvicorn")
_BY_ITSELF: Final = "system"
"""The kind of actor that needs no mention: the server works by itself."""


def set_up(log_format: LogFormat, level: str, redact: Redact) -> None:
    """Send everything that is logged to standard error.

    Args:
        log_format: how a line looks.
        level: from which level on.
        redact: takes secrets out of a text; tracebacks go through it, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def formatter(log_format: LogFormat, redact: Redact) -> logging.Formatter:
    """What makes a line of a record."""
    return _Json(redact) if log_format == "json" else _Text(redact)


def _about(record: logging.LogRecord) -> dict[str, str]:
    """Who and what a record is about; what its own ``extra`` says counts more than its surroundings."""
    found = {}
    who = actor.current()
    if who.kind != _BY_ITSELF:
        found["actor"] = who.name
    around = subject.current()
    for name in subject.FIELDS:
        if value := getattr(record, name, None) or around.get(name):
            found[name] = str(value)
    return found


class _Text(logging.Formatter):
    """``TIME LEVEL LOGGER: MESSAGE [deployment=... node=...]``."""

    def __init__(self, redact: Redact) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the standard library's name
        """The line without a traceback."""
        about = " ".join(f"{name}={value}" for name, value in _about(record).items())
        line = super().formatMessage(record)
        return f"{line} [{about}]" if about else line

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return self._redact(super().format(record))


class _Json(JsonFormatter):
    """One JSON object a line: time, level, logger, message, what it is about, exception."""

    def __init__(self, redact: Redact) -> None:
        super().__init__("%(message)s", json_ensure_ascii=False)
        self._clean = redact

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Put the fields in the order in which they are read."""
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)
        log_data.update(_about(record))

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Take secrets out before the values are escaped: afterwards one with a quote in it would not be found."""
        return {name: self._plain(value) for name, value in log_data.items()}

    def _plain(self, value: object) -> object:
        return value if value is None or isinstance(value, bool | int | float) else self._clean(str(value))
