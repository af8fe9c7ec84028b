# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker fleet``: simulated nodes in a process of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec

from stoker.cli import output
from stoker.cli.lazy import Group
from stoker.cli.session import current
from stoker.config import load_config
from stoker.errors import NotFoundError, StokerError
from stoker.transport.simulated import FleetClient

_PATIENCE = 10.0


class FleetNode(msgspec.Struct, frozen=True):
    """A simulated node as the fleet describes it."""

    name: str
    address: str
    attempts: int


def _socket(chosen: Path | None) -> Path:
    if chosen is not None:
        return chosen
    return load_config(None, flags={"data_dir": current().data or None}).fleet


def _pid_file(socket: Path) -> Path:
    return socket.with_suffix(".pid")


async def _ask_status(socket: Path) -> list[FleetNode]:
    client = await FleetClient.open(socket)
    try:
        answer = await client.ask("status")
    finally:
        client.close()
    if answer.error:  # it ended meanwhile
        raise ConnectionResetError(answer.detail)
    return msgspec.msgpack.decode(answer.data, type=list[FleetNode])


async def _ask_add(socket: Path, count: int, prefix: str) -> None:
    client = await FleetClient.open(socket)
    try:
        await client.ask("add", data=(count, prefix))
    finally:
        client.close()


def _nodes(socket: Path) -> list[FleetNode] | None:
    """The fleet's nodes, or ``None`` if no fleet listens there."""
    try:
        return asyncio.run(_ask_status(socket))
    except OSError:
        return None


def _show(nodes: list[FleetNode], as_json: bool) -> None:
    if as_json:
        output.write_items([msgspec.to_builtins(node) for node in nodes])
    else:
        rows = [(node.name, node.address, node.attempts) for node in nodes]
        output.table(
            ("NODE", "ADDRESS", "ATTEMPTS"), rows, empty="The fleet has no nodes. Add some with 'stoker fleet up --nodes 3'."
        )


_SOCKET = click.option("--socket", type=click.Path(path_type=Path), help="Where the fleet listens [DATA/fleet.sock].")


@click.group(cls=Group)
def fleet() -> None:
    """A fleet of simulated nodes on this machine: everything but the machines is real."""


@fleet.command()
@click.option(
    "--nodes", type=click.IntRange(1, 20_000), default=3, show_default=True, help="How many nodes it shall have at least."
)
@click.option("--prefix", default="node", show_default=True, help="Names are PREFIX1, PREFIX2 ...")
@click.option(
    "--behaviour",
    type=click.Path(exists=True, path_type=Path),
    help="A JSON table of what commands answer and which faults nodes show.",
)
@_SOCKET
@output.json_option
def up(nodes: int, prefix: str, behaviour: Path | None, socket: Path | None, as_json: bool) -> None:
    """Start the fleet, or add nodes to it.

    Examples:
      stoker fleet up --nodes 3
      stoker nodes add n1 node1 --transport simulated
    """
    place = _socket(socket)
    if _nodes(place) is None:
        _start(place, behaviour)
    asyncio.run(_ask_add(place, nodes, prefix))
    _show(_nodes(place) or [], as_json)


def _start(place: Path, behaviour: Path | None) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "stoker.transport.simulated.fleet", "--socket", str(place)]
    if behaviour is not None:
        command += ["--behaviour", str(behaviour)]
    log = place.with_suffix(".log")
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
    _pid_file(place).write_text(f"{process.pid}\n")
    deadline = time.monotonic() + _PATIENCE
    while _nodes(place) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StokerError(f"the fleet did not start: {log.read_text()[-400:].strip()}", remedy=f"See {log}.")
        time.sleep(0.05)


@fleet.command()
@_SOCKET
@output.json_option
def status(socket: Path | None, as_json: bool) -> None:
    """Show the fleet's nodes.

    Examples:
      stoker fleet status --json
    """
    nodes = _nodes(_socket(socket))
    if nodes is None:
        raise NotFoundError("no fleet is up.", remedy="Start one with 'stoker fleet up --nodes 3'.")
    _show(nodes, as_json)


@fleet.command()
@_SOCKET
@output.json_option
def down(socket: Path | None, as_json: bool) -> None:
    """End the fleet; its nodes are forgotten.

    Examples:
      stoker fleet down
    """
    place = _socket(socket)
    pid_file = _pid_file(place)
    if _nodes(place) is None or not pid_file.exists():
        output.answer({"up": False}, "No fleet is up.", as_json)
        return
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while _nodes(place) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    place.with_suffix(".log").unlink(missing_ok=True)
    output.answer({"up": False}, "The fleet is down.", as_json)
