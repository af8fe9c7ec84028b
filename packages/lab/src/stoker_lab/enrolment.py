# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Making a lab's nodes known to a server, as a person would with ``stoker credentials add`` and ``stoker nodes add``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stoker.client import StokerClient
from stoker.client.documents import NodeDocument

from stoker_lab.errors import LabError
from stoker_lab.nodes import LabNode


def enrol(client: StokerClient, lab: str, nodes: Sequence[LabNode]) -> list[NodeDocument]:
    """Add the nodes that the server does not know yet.

    Args:
        client: the server.
        lab: the lab's name; the credential gets it.
        nodes: the lab's nodes.

    Returns:
        The nodes that were added, looked at once.

    Raises:
        LabError: the lab is not up, or the server knows another node of the same name.
        StokerError: the server refuses.
    """
    if not nodes:
        raise LabError(f"Lab {lab} is not up.", remedy="Start it with 'stoker lab up'.")
    known = {node["name"]: node["address"] for node in client.nodes()}
    for node in nodes:
        if known.get(node.name, node.address) != node.address:
            raise LabError(
                f"The server knows another node {node.name}, at {known[node.name]}; this lab's is at {node.address}.",
                remedy=f"Remove it with 'stoker nodes remove {node.name}', or start the lab with another --prefix.",
            )
    fresh = [node for node in nodes if node.name not in known]
    if not fresh:
        return []
    credential = _credential(client, lab, fresh[0].key)
    for node in fresh:
        client.add_node(node.name, node.address, port=node.port, user=node.user, credential=credential)
    return [client.refresh_node(node.name) for node in fresh]


def _credential(client: StokerClient, lab: str, key: Path) -> str:
    """The name of the credential that holds the lab's key; a lab that was started anew has another key than before."""
    public = key.with_suffix(".pub").read_text().split()[:2]
    there = {item["name"]: item["public_key"].split()[:2] for item in client.credentials()}
    for name, theirs in there.items():
        if theirs == public:
            return name
    names = (lab, *(f"{lab}-{number}" for number in range(2, len(there) + 3)))
    free = next(name for name in names if name not in there)
    client.add_credential(free, key.read_text())
    return free
