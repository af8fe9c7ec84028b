# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests of day two: drift, lost and replaced nodes, and how two deployments differ."""

from __future__ import annotations

from typing import TypedDict

from stoker.client import documents as doc
from stoker.client.environment_documents import ChangeDocument
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q


class DriftItemDocument(TypedDict, total=False):
    """One thing on a node that is not as it was left."""

    kind: str
    name: str
    what: str
    diff: str


class NodeDriftDocument(TypedDict, total=False):
    """What is otherwise on one node."""

    node: str
    state: str
    reason: str
    items: list[DriftItemDocument]


class NamedDifferenceDocument(TypedDict, total=False):
    """A package, task or file that two deployments wanted differently."""

    kind: str
    name: str
    path: str
    nodes: list[str]
    note: str
    diff: str


class DeploymentDifferencesDocument(TypedDict):
    """What changed from one deployment to another."""

    before: str
    after: str
    environment: list[ChangeDocument]
    files: list[NamedDifferenceDocument]
    packages: list[NamedDifferenceDocument]
    tasks: list[NamedDifferenceDocument]
    note: str


class DayTwoRequests(Requests):
    """Requests about a cluster that runs."""

    def drift(self, environment: str) -> list[NodeDriftDocument]:
        """Look at the nodes, and say what is otherwise than deployments left it."""
        path = f"/api/environments/{_q(environment)}/drift"
        answer = self._one(dict[str, list[NodeDriftDocument]], "POST", path, timeout=900)
        return answer.get("items", [])

    def lose_node(self, environment: str, node: str, *, force: bool = False) -> doc.NodeDocument:
        """Take a dead node out at once."""
        path = f"/api/environments/{_q(environment)}/nodes/{_q(node)}/lost"
        return self._one(doc.NodeDocument, "POST", path, body={"force": force}, timeout=120)

    def replace_node(self, node: str, by: str, *, lost: bool = False, force: bool = False) -> doc.NodeDocument:
        """Let a free node take another one's place."""
        body = {"by": by, "lost": lost, "force": force}
        return self._one(doc.NodeDocument, "POST", f"/api/nodes/{_q(node)}/replace", body=body, timeout=120)

    def compare_deployments(self, before: str, after: str) -> DeploymentDifferencesDocument:
        """What changed from one deployment to another."""
        path = f"/api/deployments/{_q(before)}/differences/{_q(after)}"
        return self._one(DeploymentDifferencesDocument, "GET", path)
