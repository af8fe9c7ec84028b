# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker audit``: who changed what, and when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO, TypeVar

import click
import msgspec

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

_F = TypeVar("_F", bound=Callable[..., object])
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHOWN = 60


def _filters(command: _F) -> _F:
    for option in reversed(
        (
            click.option("--actor", metavar="NAME", help="Changes by this user; 'server' or 'stoker'."),
            click.option("--action", metavar="ACTION", help="An action (node.assign), or a kind of object (node)."),
            click.option("--object", "object_name", metavar="NAME", help="Changes of the object with this name or id."),
            click.option(
                "--env", "environment", metavar="NAME", shell_complete=complete.environments, help="Changes in this environment."
            ),
            click.option("--since", metavar="WHEN", help="From then on: 2h or 7d ago, 2026-01-31, 2026-01-31T12:00."),
            click.option("--until", metavar="WHEN", help="Before then."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def audit() -> None:
    """Who changed what, and when: never changed, and without secrets."""


@audit.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@output.json_option
def list_audit(
    actor: str | None,
    action: str | None,
    object_name: str | None,
    environment: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List changes, newest first; --json has what was before and after.

    Examples:
      stoker audit list --since 7d
      stoker audit list --env prod --action plugin.enable --json
    """
    found = connect().audit(limit, **_query(actor, action, object_name, environment, since, until))
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            output.when(entry["at"]),
            f"{entry['actor']} ({entry['token']})" if entry["token"] else entry["actor"],
            entry["action"],
            entry["object"],
            entry["environment"],
            _short(entry["after"]),
        )
        for entry in found
    ]
    output.table(("WHEN", "WHO", "ACTION", "OBJECT", "ENVIRONMENT", "AFTER"), rows, empty="Nothing that fits.")


@audit.command()
@_filters
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="How.")
@click.option("--output", "file", metavar="FILE", type=click.File("wb"), default="-", help="Where to [standard output].")
def export(
    actor: str | None,
    action: str | None,
    object_name: str | None,
    environment: str | None,
    since: str | None,
    until: str | None,
    form: str,
    file: BinaryIO,
) -> None:
    """Write all changes that fit, oldest first; for admins. In CSV no cell is a formula.

    Examples:
      stoker audit export --since 2026-01-01 --until 2026-02-01 --output january.jsonl
      stoker audit export --format csv --output audit.csv
    """
    file.writelines(connect().export_audit(form, **_query(actor, action, object_name, environment, since, until)))


def _query(
    actor: str | None,
    action: str | None,
    object_name: str | None,
    environment: str | None,
    since: str | None,
    until: str | None,
) -> dict[str, object]:
    return {
        "actor": actor,
        "action": action,
        "object": object_name,
        "environment": environment,
        "since": _moment("--since", since),
        "until": _moment("--until", until),
    }


def _moment(option: str, given: str | None) -> float | None:
    """``2h`` (ago), or a date or time, local if it does not say."""
    if not given:
        return None
    if ago := _AGO.fullmatch(given):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(given).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{option} {given}: this is no moment.", remedy="Write e.g. 2h, 7d, 2026-01-31 or 2026-01-31T12:00."
        ) from error


def _short(value: object) -> str:
    if value is None:
        return ""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
