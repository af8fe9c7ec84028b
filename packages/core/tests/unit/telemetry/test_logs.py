# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Log lines: both formats say who and what a line is about, and neither tells a secret."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from stoker.db.vault import Vault
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor, acting_as
from stoker.telemetry import logs
from stoker.telemetry.subject import about

ANNA = Actor(kind="user", name="anna", access=AccessLevel.OPERATOR)
SECRETS = ["correct horse battery", 'quote"and\\backslash', "first line\nsecond line"]


def record(message, *args, level=logging.INFO, error=None, **extra):
    made = logging.LogRecord("stoker.test", level, __file__, 1, message, args, error)
    made.__dict__.update(extra)
    return made


def text(redact=str):
    return logs.formatter("text", redact)


def as_json(made, redact=str):
    line = logs.formatter("json", redact).format(made)
    assert "\n" not in line
    return json.loads(line)


def test_a_line_of_text_ends_with_what_it_is_about() -> None:
    with acting_as(ANNA), about(request="r1", deployment="d1", node=""):
        line = text().format(record("node %s is up", "web1"))
    assert line.endswith("INFO stoker.test: node web1 is up [actor=anna request=r1 deployment=d1]")


def test_what_the_server_does_by_itself_names_nobody() -> None:
    assert text().format(record("started")).endswith("stoker.test: started")
    assert set(as_json(record("started"))) == {"time", "level", "logger", "message"}


def test_json_has_a_field_for_everything() -> None:
    with acting_as(ANNA), about(request="r1", environment="prod", deployment="d1", node="web1", plugin="ntp"):
        found = as_json(record("node %s is up", "web1", level=logging.WARNING))
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "stoker.test",
        "message": "node web1 is up",
        "actor": "anna",
        "request": "r1",
        "environment": "prod",
        "deployment": "d1",
        "node": "web1",
        "plugin": "ntp",
    }


def test_a_record_knows_better_than_its_surroundings() -> None:
    with about(deployment="d1"):
        assert as_json(record("x", deployment="d2"))["deployment"] == "d2"
        assert "deployment=d2" in text().format(record("x", deployment="d2"))


def test_the_subject_ends_with_its_block() -> None:
    with about(node="web1"):
        pass
    assert "web1" not in text().format(record("x"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_format_tells_a_secret_not_even_in_a_traceback(kind, secret) -> None:
    vault = Vault(b"k" * 32)
    vault.encrypt(secret.encode())
    try:
        raise ValueError(f"refused: {secret}")
    except ValueError:
        error = sys.exc_info()
    made = record("sent %s and %r", secret, secret, error=error, answer={"body": secret})
    line = logs.formatter(kind, vault.redact).format(made)
    shown = "\n".join(str(value) for value in json.loads(line).values()) if kind == "json" else line
    for piece in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]):
        assert piece not in shown
    assert shown.count("[secret]") >= 3
    assert "Traceback" in shown


def test_numbers_stay_numbers() -> None:
    found = as_json(record("x", status=200, milliseconds=1.5), redact=lambda text: text.replace("200", "[secret]"))
    assert (found["status"], found["milliseconds"]) == (200, 1.5)
