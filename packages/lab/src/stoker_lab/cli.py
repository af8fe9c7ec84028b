# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker lab``: disposable Debian nodes on this machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click
import msgspec
from stoker.cli import output
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import StokerError

from stoker_lab import enrolment, machine, nodes

COLUMNS = ("NODE", "ADDRESS", "STATE", "STARTS")


@click.group(cls=Group)
@click.option("--name", default="lab", show_default=True, help="Which lab; each has nodes and a network of its own.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="STOKER_LAB_STATE",
    default=nodes.default_state_dir,
    help="The folder for the labs' files [STOKER_LAB_STATE; /var/lib/stoker-lab].",
)
@click.pass_context
def lab(ctx: click.Context, name: str, state: Path) -> None:
    """Disposable Debian nodes on this machine. Needs root on Linux; not a security boundary."""
    ctx.meta["stoker_lab"] = nodes.Lab(state, name, progress=lambda text: click.echo(text, err=True))


def _lab() -> nodes.Lab:
    made = click.get_current_context().meta["stoker_lab"]
    if not isinstance(made, nodes.Lab):
        raise TypeError("the group `lab` did not run before its command")
    return made


def _document(node: nodes.LabNode) -> dict[str, object]:
    return {
        "name": node.name,
        "address": node.address,
        "port": node.port,
        "user": node.user,
        "key": str(node.key),
        "host_key": node.host_key,
        "state": node.state,
        "starts": node.starts,
    }


def _show(found: list[nodes.LabNode], as_json: bool) -> None:
    if as_json:
        output.write_items([_document(node) for node in found])
        return
    rows = [(node.name, node.address, output.state_text(node.state), node.starts) for node in found]
    output.table(COLUMNS, rows, empty="No lab is up. Start one with 'stoker lab up'.")
    if found:
        output.say(f"root's private key: {found[0].key}")


@lab.command()
@click.option("--nodes", "count", type=click.IntRange(1, nodes.MOST_NODES), default=3, show_default=True, help="How many nodes.")
@click.option("--prefix", default="node", show_default=True, help="Their names are this and a number.")
@click.option("--install-missing", is_flag=True, help="First install the system packages that a lab needs.")
@output.json_option
def up(count: int, prefix: str, install_missing: bool, as_json: bool) -> None:
    """Make nodes, or start those that are there; the first time this takes a minute.

    Examples:
      stoker lab up --nodes 3
      stoker lab up --install-missing
      stoker lab --name second up --nodes 1 --prefix m
    """
    if install_missing and (installed := machine.install_missing()):
        click.echo(f"installed {', '.join(installed)}", err=True)
    _show(_lab().up(count, prefix), as_json)


@lab.command()
@output.json_option
def status(as_json: bool) -> None:
    """List the nodes.

    Examples:
      stoker lab status
      stoker lab status --json
    """
    _show(_lab().status(), as_json)


@lab.command()
@output.json_option
def add(as_json: bool) -> None:
    """Make the nodes known to the server: the lab's key becomes a credential, each node is added by its address.

    Examples:
      stoker lab add
      stoker lab --name second add
    """
    found = _lab().status()
    added = enrolment.enrol(connect(), _lab().name, found)
    if as_json:
        output.write_items(added)
        return
    for node in added:
        output.say(f"added {node['name']}: {node['status']}")
    if not added:
        output.say("the server knows all of them already")


def _names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The lab's nodes; nothing, not even an error, where it cannot be read."""
    given = ctx.parent.params if ctx.parent is not None else {}
    with contextlib.suppress(OSError, StokerError, msgspec.DecodeError):
        found = nodes.Lab(given.get("state") or nodes.default_state_dir(), given.get("name") or "lab")
        return [node.name for node in found.place.nodes() if node.name.startswith(incomplete)]
    return []


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("node", shell_complete=_names)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(node: str, command: tuple[str, ...]) -> None:
    """Log in on a node as root, or run a command there.

    Examples:
      stoker lab ssh node1
      stoker lab ssh node1 systemctl --failed
    """
    words = _lab().ssh_command(node, command)
    os.execvp(words[0], words)  # noqa: S606  # becomes the ssh that the person asked for


@lab.command()
@click.argument("node", shell_complete=_names)
@click.option("--hard", is_flag=True, help="As if the power went away for a moment.")
@output.json_option
def reboot(node: str, hard: bool, as_json: bool) -> None:
    """Start a node anew and wait until it answers.

    Examples:
      stoker lab reboot node1
      stoker lab reboot node2 --hard
    """
    _show([_lab().reboot(node, hard=hard)], as_json)


@lab.command()
@output.json_option
def down(as_json: bool) -> None:
    """Remove all nodes and everything that the lab made on this machine, also after a crash.

    Examples:
      stoker lab down
    """
    made = _lab()
    made.down()
    if as_json:
        output.write_json({"name": made.name, "up": False})
    else:
        output.say(f"lab {made.name} is down; nothing of it is left")
