# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What an error looks like: for a person on standard error, and with ``--json`` also as a problem document on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import click

from stoker.errors import ConfigurationError, InvalidInputError, StokerError

json_asked: ContextVar[bool] = ContextVar("json_asked", default=False)
"""Whether the command that runs was asked for JSON."""
_OURS = frozenset({"kind", "status", "title"})
"""Fields of an error's data that the problem document has under its own rules."""


def show_usage_error(error: click.ClickException, arguments: Sequence[str]) -> int:
    """Tell what click did not understand; returns the exit status."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    remedy = f"See '{context.command_path} --help'." if context is not None else ""
    # A word that click stumbles over may stand before --json, which then was not read.
    command = context.command if context is not None else None
    knows_json = isinstance(command, click.Group) or (
        command is not None and any(parameter.name == "as_json" for parameter in command.params)
    )
    if json_asked.get() or (knows_json and "--json" in arguments):
        json_asked.set(True)
    show_error(InvalidInputError(error.format_message(), remedy=remedy))
    return error.exit_code


def exit_status(error: StokerError) -> int:
    """2 for what the caller can put right in the command, 1 for everything else."""
    return 2 if 400 <= error.status < 500 or isinstance(error, ConfigurationError) else 1


def show_error(error: StokerError) -> None:
    """Tell who, what, where, each finding, and the remedy."""
    findings = error.data.get("findings") or []
    click.echo(f"{_style('error:', 'red')} {printable(summary(error))}", err=True)
    for finding in findings:
        for line in finding_lines(finding):
            click.echo(printable(line), err=True)
    remedies = {str(finding.get("remedy") or "") for finding in findings if isinstance(finding, dict)}
    if error.remedy and remedies != {error.remedy}:
        click.echo(f"{_style('remedy:', 'cyan')} {printable(error.remedy)}", err=True)
    if json_asked.get():
        click.echo(json.dumps(document_of(error), indent=2, ensure_ascii=False, default=str))


def document_of(error: StokerError) -> dict[str, object]:
    """The problem document: as the server sent it, or in the same shape if the error is the command line's own."""
    kind = str(error.data.get("kind") or error.kind)
    data = {key: value for key, value in error.data.items() if key not in _OURS and value not in (None, [], "")}
    return {
        "type": f"urn:stoker:problem:{kind}",
        "title": error.data.get("title") or kind.replace("-", " ").capitalize(),
        "status": error.data.get("status") or error.status,
        "detail": error.detail,
        "remedy": error.remedy,
        **data,
    }


def summary(error: StokerError) -> str:
    """The detail without the findings that are joined to it, because each is told by itself."""
    findings = [finding for finding in error.data.get("findings") or [] if isinstance(finding, dict)]
    if not findings:
        return error.detail
    line = error.detail.partition("\n")[0]
    places = [line.find(text) for finding in findings for text in _as_joined(finding)]
    cut = min((place for place in places if place >= 0), default=len(line))
    kept = line[:cut].rstrip(" :;,.")
    return f"{kept}." if kept else f"{str(error.data.get('title') or error.kind.replace('-', ' ')).capitalize()}."


def _as_joined(finding: dict[str, object]) -> Iterator[str]:
    """How a server may have written a finding into the detail."""
    place, who = _place(finding), _who(finding)
    rule, message = str(finding.get("rule") or ""), str(finding.get("message") or "")
    yield from (text for text in (f"{place}: {rule} {who}: {message}", f"{rule} {who}: {message}") if rule)
    if message:
        yield message


def finding_lines(finding: object) -> list[str]:
    """One finding as a list's item: rule, place and who; message; remedy."""
    if not isinstance(finding, dict):
        return [f"  - {finding}"]
    place, who, message = _place(finding), _who(finding), str(finding.get("message") or "")
    if finding.get("field"):
        message = message.removeprefix(f"setting {finding['field']}: ")
    head = [str(finding.get("rule") or ""), place, who]
    lines = ["  ".join(part for part in head if part), *message.splitlines()]
    if finding.get("remedy"):
        lines.append(f"remedy: {finding['remedy']}")
    shown = [line for line in lines if line]
    return [f"{'    ' if number else '  - '}{line}" for number, line in enumerate(shown)]


def _place(finding: dict[str, object]) -> str:
    return str(finding.get("file") or "") + (f":{finding['line']}" if finding.get("line") else "")


def _who(finding: dict[str, object]) -> str:
    return " ".join(str(finding[key]) for key in ("plugin", "contribution", "field") if finding.get(key))


def printable(text: str) -> str:
    """Text without control characters, which could make a terminal do things."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\x{ord(character):02x}" for character in text
    )


def _style(text: str, colour: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    return text if plain else click.style(text, fg=colour, bold=True)
