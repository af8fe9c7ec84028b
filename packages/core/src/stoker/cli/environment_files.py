# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env export``, ``diff`` and ``apply``: an environment as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli import asking, complete, output, yaml_documents
from stoker.cli.lazy import Command
from stoker.cli.session import connect
from stoker.domain.environment_file import in_words
from stoker.errors import InvalidInputError

if TYPE_CHECKING:
    from stoker.client.environment_documents import ChangeDocument

MARKS = {"add": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)


@click.command(cls=Command)
@_environment
@click.option("--with-nodes", is_flag=True, help="Say how nodes are reached, too: a server that lacks them adds them.")
@output.json_option
def export(environment: str, with_nodes: bool, as_json: bool) -> None:
    """Write an environment as a file: plugins, settings, roles of nodes, overrides; no secret, no history.

    Examples:
      stoker env export lab > lab.yaml
      stoker env export lab --with-nodes > lab.yaml
    """
    found = connect().export_environment(environment, with_nodes=with_nodes)
    if as_json:
        output.write_json(found)
    else:
        click.echo(yaml_documents.write(found), nl=False)


@click.command(cls=Command)
@_environment
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@output.json_option
def diff(environment: str, file: Path, as_json: bool) -> int:
    """Say what applying FILE ('-' for standard input) would change. Exits 0 if nothing, 1 if something, 2 if it cannot be read.

    Examples:
      stoker env diff lab lab.yaml
    """
    found = connect().compare_environment(environment, yaml_documents.read(file))
    if as_json:
        output.write_json(found)
    else:
        show_changes(found["changes"])
        if found["same"]:
            output.say(f"{environment} is as {file} says.", "green")
    return 0 if found["same"] else 1


@click.command(cls=Command)
@click.option(
    "--file", "-f", "file", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The file ('-': standard input)."
)
@click.option("--env", "environment", shell_complete=complete.environments, help="Its name [the one in the file].")
@click.option(
    "--secret", "secrets", metavar="NAME=@FILE", multiple=True, help="A secret that the file names ('@-': standard input)."
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@output.json_option
def apply(file: Path, environment: str | None, secrets: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Make an environment, or change it, to exactly what a file says: all or nothing.

    Nothing changes on nodes before the next deployment.

    Examples:
      stoker env apply -f lab.yaml
      stoker env apply -f lab.yaml --env copy --secret mail.password=@password.txt --yes
    """
    document = yaml_documents.read(file)
    name = environment or document.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"{file} does not say the environment's name.", remedy="Write 'name: NAME', or add --env.")
    given = _read_secrets(secrets)
    client = connect()
    if not yes and not dry_run:
        asking.needs_terminal(f"env apply -f {file}", remedy="Look with --dry-run, then add --yes.")
        would = client.apply_environment(name, document, secrets=given, dry_run=True)
        if not would["changes"] and not would["created"]:
            output.answer(would, f"{name} is as {file} says.", as_json)
            return
        if not as_json:
            show_changes(would["changes"])
        asking.confirm(f"\n{'Make' if would['created'] else 'Change'} environment {name} so?")
    done = client.apply_environment(name, document, secrets=given, dry_run=dry_run)
    if as_json:
        output.write_json(done)
        return
    if yes or dry_run:
        show_changes(done["changes"])
    if not done["changes"] and not done["created"]:
        output.say(f"{name} is as {file} says.", "green")
        return
    verb = "would be" if dry_run else "is"
    told = f"environment {name} {verb} {'made' if done['created'] else 'changed'}"
    output.say(told if dry_run else f"{told}; 'stoker plan create {name}' shows what that means")


def show_changes(changes: Iterable[ChangeDocument]) -> None:
    """Changes line by line, in colour."""
    for change in changes:
        mark, colour = MARKS[change["kind"]]
        values = [in_words(change[side]) for side in ("before", "after") if _has(change, side)]
        output.say(f"{mark} {change['place']}: {' -> '.join(values)}", colour)


def _has(change: ChangeDocument, side: str) -> bool:
    return change["kind"] == "change" or (change["kind"] == "add") == (side == "after")


def _read_secrets(assignments: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for assignment in assignments:
        name, _, source = assignment.partition("=")
        if not name or not source.startswith("@") or source == "@":
            raise InvalidInputError(
                f"--secret {name}: what follows is not @FILE.",  # what follows may be the secret itself
                remedy="Put the secret into a file and write --secret NAME=@FILE; a command line can be read by others.",
            )
        try:
            text = sys.stdin.read() if source == "@-" else Path(source[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
            raise InvalidInputError(f"the secret {name} cannot be read: {reason}.", remedy="Name a text file.") from error
        value = text.rstrip("\r\n") if len(text.splitlines()) == 1 else text
        if not value:
            raise InvalidInputError(f"the secret {name} is empty.", remedy="Name the file that has it.")
        found[name] = value
    return found
