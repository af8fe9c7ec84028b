# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker nodes``: add, set, list, show, refresh, remove, forget-host-key; what concerns many at once is in ``many_nodes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from stoker.cli import changes, complete, many_nodes, output, serializer_hooks
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError, NodeError

if TYPE_CHECKING:
    from stoker.client.documents import NodeDocument

_NONE = "No nodes. Add one with 'stoker nodes add NAME ADDRESS'."


@click.group(cls=Group)
def nodes() -> None:
    """Add, change, look at and remove nodes."""


for _command in (many_nodes.assign, many_nodes.unassign, changes.watch_nodes):
    nodes.add_command(_command)


@nodes.command()
@click.argument("name", required=False)
@click.argument("address", required=False)
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add all nodes of a YAML or JSON file ('-': standard input).",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The SSH port [22].")
@click.option("--user", help="Who to sign in as [root].")
@click.option("--sudo/--no-sudo", default=None, help="Run everything through sudo (without a password).")
@click.option("--credential", shell_complete=complete.credentials, help="The key to sign in with (see 'stoker credentials').")
@click.option("--jump", metavar="NODE", shell_complete=complete.nodes, help="Go through another node.")
@click.option("--transport", type=click.Choice(["ssh", "simulated"]), help="How to reach it [ssh].")
@click.option(
    "--refresh/--no-refresh", default=True, show_default=True, help="Connect at once, read the facts and remember the host key."
)
@output.json_option
def add(name: str | None, address: str | None, file: Path | None, refresh: bool, as_json: bool, **fields: object) -> None:
    """Add the node NAME that answers at ADDRESS, or all nodes of a file in one call.

    The file has a list of objects with name and address, and what else differs from the options. None of them is connected to;
    'stoker nodes refresh' does that.

    Examples:
      stoker nodes add n1 10.0.0.11 --credential default
      stoker nodes add n2 10.0.0.12 --user debian --sudo --credential default --jump n1
      stoker nodes add --from nodes.yaml --user debian --sudo
    """
    client = connect()
    if file is not None and name is None:
        given = {key: value for key, value in fields.items() if value is not None}
        added = client.add_nodes([{**given, **node} for node in many_nodes.read_nodes(file)])
        output.answer({"nodes": added}, f"added {output.plural(len(added), 'node')}: {output.names(added)}", as_json)
        return
    if name is None or address is None or file is not None:
        raise InvalidInputError("what is to be added is not clear.", remedy="Give NAME and ADDRESS, or --from FILE alone.")
    node = client.add_node(name, address, **fields, refresh=refresh)
    if warning := node.get("warning"):
        reason = warning["detail"].removeprefix(f"node {name}: ")
        raise NodeError(name, f"it was added, but it cannot be used yet: {reason}", remedy=warning["remedy"])
    output.answer(node, f"added {name}: {_summary(node)}" if refresh else f"added {name}", as_json)


@nodes.command("set")
@click.argument("node", shell_complete=complete.nodes)
@click.option("--address", help="Where it answers.")
@click.option("--port", type=click.IntRange(1, 65535), help="The SSH port.")
@click.option("--user", help="Who to sign in as.")
@click.option("--sudo/--no-sudo", default=None, help="Run everything through sudo (without a password).")
@click.option("--credential", shell_complete=complete.credentials, help="The key to sign in with.")
@click.option("--jump", metavar="NODE", shell_complete=complete.nodes, help="Go through another node; '' for none.")
@click.option("--refresh/--no-refresh", default=True, show_default=True, help="Connect at once and read the facts.")
@output.json_option
def set_node(node: str, refresh: bool, as_json: bool, **fields: object) -> None:
    """Change how a node is reached.

    Examples:
      stoker nodes set n1 --address 10.0.0.12
      stoker nodes set n1 --user debian --sudo --credential lab
    """
    client = connect()
    given = {name: value for name, value in fields.items() if value is not None}
    found = client.change_node(node, **given)
    if refresh:
        found = client.refresh_node(node)
    output.answer(found, f"changed {node}: {_summary(found)}", as_json)


@nodes.command("list")
@many_nodes.filters
@output.json_option
def list_nodes(as_json: bool, **given: object) -> None:
    """List all nodes, or those that fit filters.

    Examples:
      stoker nodes list
      stoker nodes list --env lab --with-role web --status online
      stoker nodes list --free --match compute --json
    """
    found = connect().nodes(**given)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            node["name"],
            f"{node.get('user', '')}@{node.get('address', '')}:{node.get('port', 22)}"
            if node.get("transport") != "simulated"
            else "simulated",
            node.get("environment"),
            ", ".join(node.get("roles") or []),
            output.state_text(node.get("status", "")),
            _system(node),
        )
        for node in found
    ]
    output.table(
        ("NAME", "ADDRESS", "ENVIRONMENT", "ROLES", "STATUS", "SYSTEM"),
        rows,
        empty="No node fits." if any(value is not None for value in given.values()) else _NONE,
    )


@nodes.command()
@click.argument("node", shell_complete=complete.nodes)
@output.json_option
def show(node: str, as_json: bool) -> None:
    """Show a node with its facts.

    Examples:
      stoker nodes show n1
    """
    found = connect().node(node)
    if as_json:
        output.write_json(found)
    else:
        _show(found)


@nodes.command()
@click.argument("names", metavar="NODE...", nargs=-1, required=True, shell_complete=complete.nodes)
@output.json_option
def refresh(names: tuple[str, ...], as_json: bool) -> None:
    """Connect to nodes and read their facts.

    Examples:
      stoker nodes refresh n1 n2
    """
    client = connect()
    found = [client.refresh_node(name) for name in names]
    if as_json:
        output.write_items(found)
        return
    for node in found:
        output.say(f"{node['name']}: {_summary(node)}")


@nodes.command()
@click.argument("names", metavar="NODE...", nargs=-1, required=True, shell_complete=complete.nodes)
@output.json_option
def remove(names: tuple[str, ...], as_json: bool) -> None:
    """Remove nodes that are in no environment, all or none.

    Examples:
      stoker nodes remove n1
      stoker nodes remove n1 n2 n3
    """
    if len(names) == 1:
        connect().remove_node(names[0])
        output.answer({"name": names[0], "removed": True}, f"removed {names[0]}", as_json)
        return
    gone = connect().remove_nodes(names)
    output.answer({"nodes": gone, "removed": True}, f"removed {output.plural(len(gone), 'node')}: {output.names(gone)}", as_json)


@nodes.command()
@click.argument("old", metavar="OLD", shell_complete=complete.nodes)
@click.argument("new", metavar="NEW", shell_complete=complete.nodes)
@click.option("--lost", is_flag=True, help="OLD is dead: forget at once what was brought to it.")
@click.option("--force", is_flag=True, help="With --lost: do not ask OLD whether it answers.")
@output.json_option
def replace(old: str, new: str, lost: bool, force: bool, as_json: bool) -> None:
    """Let the free node NEW take the place of OLD: its roles, and what it is primary for.

    OLD leaves with the next deployment. The environment's secrets stay.

    Examples:
      stoker nodes replace n1 n7
      stoker nodes replace n1 n7 --lost
    """
    found = connect().replace_node(old, new, lost=lost, force=force)
    text = f"{new} is {', '.join(found.get('roles') or []) or 'there'} in {found.get('environment')} instead of {old}"
    output.answer(found, text, as_json)


@nodes.command("forget-host-key")
@click.argument("node", shell_complete=complete.nodes)
@output.json_option
def forget_host_key(node: str, as_json: bool) -> None:
    """Forget the host key of a node that was installed anew; the next connection remembers the new one.

    Examples:
      stoker nodes forget-host-key n1
    """
    found = connect().forget_host_key(node)
    output.answer(found, f"forgot the host key of {node}", as_json)


def _system(node: NodeDocument) -> str:
    facts = node.get("facts") or {}
    if not facts.get("hostname") and not facts.get("os_id"):
        return ""
    name = facts.get("os_name") or f"{facts.get('os_id', '')} {facts.get('os_version', '')}".strip()
    return f"{name}, {facts.get('cpus', 0)} CPU, {output.size(facts.get('memory_bytes', 0))}"


def _summary(node: NodeDocument) -> str:
    status = node.get("status", "")
    reason = node.get("status_reason")
    return f"{status}{f' ({reason})' if reason else ''}{', ' + _system(node) if _system(node) else ''}"


def _show(node: NodeDocument) -> None:
    facts = node.get("facts") or {}
    disks = cast("list[dict[str, object]]", facts.get("disks") or [])
    nics = cast("list[dict[str, object]]", facts.get("nics") or [])
    output.pairs(
        [
            ("name", node["name"]),
            ("transport", node.get("transport")),
            ("address", node.get("address")),
            ("port", node.get("port")),
            ("user", node.get("user")),
            ("sudo", "yes" if node.get("sudo") else ""),
            ("credential", node.get("credential")),
            ("jump", node.get("jump")),
            ("environment", node.get("environment")),
            ("roles", ", ".join(node.get("roles") or [])),
            ("status", output.state_text(node.get("status", ""))),
            ("reason", node.get("status_reason")),
            ("host key", node.get("host_key")),
            ("facts of", output.when(node.get("facts_at"))),
            ("system", _system(node)),
            ("kernel", facts.get("kernel")),
            ("disks", ", ".join(f"{disk.get('name')} {output.size(disk.get('size_bytes'))}" for disk in disks)),
            (
                "interfaces",
                "; ".join(
                    f"{nic.get('name')} {' '.join(cast('list[str]', nic.get('addresses') or []))}".rstrip() for nic in nics
                ),
            ),
            *serializer_hooks.rows_of(node.get("ext"), node.get("ext_state")),
        ]
    )
