# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker nodes assign | unassign``, and what chooses many nodes: names, ``--all``, filters, a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click
import yaml

from stoker.cli import asking, complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

if TYPE_CHECKING:
    from stoker.client import StokerClient
    from stoker.client.fleet_documents import BulkDocument

_F = TypeVar("_F", bound=Callable[..., object])
_STATUS = click.Choice(["new", "online", "unreachable", "error"])
FILTERS = ("environment", "free", "role", "status", "transport", "q", "os", "os_version", "architecture")
"""The names under which ``filters`` hands its options on."""


def filters(command: _F) -> _F:
    """Options that choose nodes; the command gets them as keywords named in ``FILTERS``."""
    for option in (
        click.option("--architecture", metavar="NAME", help="Only those of this architecture, e.g. x86_64."),
        click.option("--os-version", "os_version", metavar="VERSION", help="Only those with this version of their system."),
        click.option("--os", metavar="ID", help="Only those with this system, e.g. debian."),
        click.option("--match", "q", metavar="TEXT", help="Only those with this text in name or address."),
        click.option("--transport", type=click.Choice(["ssh", "simulated"]), help="Only those that are reached so."),
        click.option("--status", type=_STATUS, help="Only those in this state."),
        click.option("--with-role", "role", metavar="ROLE", help="Only those that have this role."),
        click.option("--free/--assigned", default=None, help="Only those of no environment, or only those of any."),
        click.option(
            "--env", "environment", metavar="ENV", shell_complete=complete.environments, help="Only those of this environment."
        ),
    ):
        command = option(command)
    return command


def chosen(client: StokerClient, names: Sequence[str], everything: bool, given: Mapping[str, object]) -> list[str]:
    """The names of the nodes that are meant.

    Raises:
        InvalidInputError: nothing is chosen, or in two ways.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    if names and (everything or wanted):
        raise InvalidInputError(
            "nodes are named, and chosen by an option, too.", remedy="Name nodes, or use --all or filters, not both."
        )
    if names:
        return list(dict.fromkeys(names))
    if not everything and not wanted:
        raise InvalidInputError("no node is chosen.", remedy="Name nodes, or give --all or a filter such as --match web.")
    found = [node["name"] for node in client.nodes(**wanted)]
    if not found:
        raise InvalidInputError("no node fits.", remedy="'stoker nodes list' with the same filters shows what there is.")
    return found


@click.command(cls=Command)
@click.argument("target", metavar="ENV", shell_complete=complete.environments)
@click.argument("names", metavar="[NODE...]", nargs=-1, shell_complete=complete.nodes)
@click.option("--role", "roles", metavar="ROLE", multiple=True, required=True, help="A role; may be given several times.")
@click.option("--add", "mode", flag_value="add", help="Leave them the roles that they have.")
@click.option("--remove", "mode", flag_value="remove", help="Take these roles from them; they stay in the environment.")
@click.option("--all", "everything", is_flag=True, help="All nodes.")
@filters
@output.json_option
def assign(
    target: str,
    names: tuple[str, ...],
    roles: tuple[str, ...],
    mode: str | None,
    everything: bool,
    as_json: bool,
    **given: object,
) -> None:
    """Give many nodes roles in ENV in one call, all or none; without --add or --remove exactly these.

    Examples:
      stoker nodes assign lab web1 web2 web3 --role web
      stoker nodes assign lab --free --match compute --role compute
      stoker nodes assign lab --env lab --with-role web --role monitored --add
    """
    client = connect()
    wanted = sorted({role for text in roles for role in text.split(",") if role})
    done = client.assign_nodes(target, dict.fromkeys(chosen(client, names, everything, given), wanted), mode=mode or "set")
    named = f"{'the role' if len(wanted) == 1 else 'the roles'} {', '.join(wanted)}"
    told = {"add": f"with {named}, too", "remove": f"without {named}"}.get(mode or "", f"with {named} and no other")
    output.answer(done, f"{target}: {_changed(done)} {told if wanted else 'with no role'}", as_json)


@click.command(cls=Command)
@click.argument("target", metavar="ENV", shell_complete=complete.environments)
@click.argument("names", metavar="[NODE...]", nargs=-1, shell_complete=complete.nodes)
@click.option("--all", "everything", is_flag=True, help="All nodes of the environment.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@filters
@output.json_option
def unassign(target: str, names: tuple[str, ...], everything: bool, yes: bool, as_json: bool, **given: object) -> None:
    """Take many nodes out of ENV in one call, all or none; the next deployment removes what was brought to them.

    Examples:
      stoker nodes unassign lab web3 web4
      stoker nodes unassign lab --status unreachable --yes
    """
    client = connect()
    if not names:
        given["environment"] = target
    nodes = chosen(client, names, everything, given if not everything else {"environment": target, **given})
    if not names and not yes:
        asking.needs_terminal(f"nodes unassign {target}", remedy="Look with 'stoker nodes list' and the filters, then add --yes.")
        asking.confirm(f"Take {output.plural(len(nodes), 'node')} out of {target}: {output.names(nodes)}?")
    done = client.unassign_nodes(target, nodes)
    later = f"; with the next deployment: {output.names(done['removing'])}" if done.get("removing") else ""
    output.answer(done, f"{_changed(done)} leave {target}{later}", as_json)


def _changed(done: BulkDocument) -> str:
    same = len(done["unchanged"])
    return output.plural(len(done["changed"]), "node") + (f" ({same} as before)" if same else "")


def read_nodes(path: Path) -> list[Mapping[str, object]]:
    """Nodes from a YAML or JSON file: a list, or an object with the list as ``nodes``.

    Raises:
        InvalidInputError: it cannot be read, or holds something else.
    """
    remedy = "Write a list of '- {name: n1, address: 10.0.0.11}', one for each node."
    try:
        found = yaml.safe_load(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(f"the file {path} cannot be read: {error.strerror}.", remedy=remedy) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the file {path} is not YAML: {error}.", remedy=remedy) from error
    items = found.get("nodes") if isinstance(found, dict) else found
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise InvalidInputError(f"the file {path} does not hold a list of nodes.", remedy=remedy)
    return cast("list[Mapping[str, object]]", items)
