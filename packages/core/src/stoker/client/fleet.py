# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests for a large fleet: nodes that fit filters, and many nodes in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.client import documents as doc
from stoker.client.fleet_documents import BulkDocument, NodesDocument
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q


class FleetRequests(Requests):
    """Requests about many nodes."""

    def nodes(self, **filters: object) -> list[doc.NodeDocument]:
        """All nodes with their facts, or those that fit: environment, free, role, status, transport, q, os, architecture ..."""
        return self._many(doc.NodeDocument, "/api/nodes", filters)

    def add_nodes(self, nodes: Sequence[Mapping[str, object]]) -> list[str]:
        """Add many nodes, all or none; the fields are those of ``add_node`` without ``refresh``."""
        return self._one(NodesDocument, "POST", "/api/nodes:add", body={"nodes": list(nodes)}, timeout=120)["nodes"]

    def remove_nodes(self, nodes: Sequence[str]) -> list[str]:
        """Delete many nodes that are in no environment, all or none."""
        return self._one(NodesDocument, "POST", "/api/nodes:remove", body={"nodes": list(nodes)}, timeout=120)["nodes"]

    def assign_nodes(self, environment: str, roles: Mapping[str, Sequence[str]], *, mode: str = "set") -> BulkDocument:
        """Give many nodes roles, all or none.

        Args:
            environment: its name or id.
            roles: node -> roles.
            mode: ``set`` them, ``add`` them to those that a node has, or ``remove`` them.
        """
        body = {"mode": mode, "assignments": [{"node": node, "roles": list(names)} for node, names in roles.items()]}
        path = f"/api/environments/{_q(environment)}/nodes:assign"
        return self._one(BulkDocument, "POST", path, body=body, timeout=120)

    def unassign_nodes(self, environment: str, nodes: Sequence[str]) -> BulkDocument:
        """Take many nodes out, all or none."""
        path = f"/api/environments/{_q(environment)}/nodes:unassign"
        return self._one(BulkDocument, "POST", path, body={"nodes": list(nodes)}, timeout=120)
