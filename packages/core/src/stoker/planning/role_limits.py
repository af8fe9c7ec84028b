# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Role limits: whether the assignment of roles to nodes keeps what the roles say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker_sdk.model.finding import Finding

from stoker.domain.snapshot import NodeInput
from stoker.domain.tolerance import exceeded
from stoker.planning.parts import PluginParts
from stoker.planning.selection import Chosen


def check_assignment(parts: Sequence[PluginParts], nodes: Sequence[NodeInput]) -> tuple[list[Finding], list[str]]:
    """Findings for conflicts and limits of roles; warnings for roles that nobody brings and for fewer nodes than advised."""
    findings: list[Finding] = []
    warnings: list[str] = []
    roles = {role.name: (part, role) for part in parts for role in part.roles}
    counts: dict[str, int] = dict.fromkeys(roles, 0)
    for node in nodes:
        if node.removing:
            continue
        for role in node.roles:
            if role not in roles:
                warnings.append(f"node {node.name} has the role {role}, which no enabled plugin brings: it has no effect.")
                continue
            counts[role] += 1
            for other in roles[role][1].conflicts:
                if other in node.roles:
                    message = f"node {node.name} has the roles {role} and {other}, which exclude each other."
                    findings.append(_finding("R004", roles[role][0], role, message, "Take one of them away."))
    for name in sorted(roles):
        part, brought = roles[name]
        if part.plugin.removing:
            continue
        count = counts[name]
        if count < brought.min:
            findings.append(
                _finding(
                    "R005", part, name, f"{count} nodes have the role {name}; it needs {brought.min}.", "Assign it to more nodes."
                )
            )
        if brought.max is not None and count > brought.max:
            findings.append(
                _finding(
                    "R006", part, name, f"{count} nodes have the role {name}; at most {brought.max} may.", "Take it from some."
                )
            )
        if brought.recommended is not None and count < brought.recommended:
            warnings.append(f"{count} nodes have the role {name}; {brought.recommended} are advised.")
    return findings, warnings


def check_left_out(
    nodes: Sequence[NodeInput], tolerance: Mapping[str, int | str], chosen: Chosen | None = None
) -> tuple[list[Finding], list[str]]:
    """Nodes that could not be looked at: a warning each while the tolerance of their roles allows it, findings otherwise.

    Those outside of the part that is planned do not matter.
    """
    missing = [number for number, node in enumerate(nodes) if node.left_out and (chosen is None or chosen.node(node))]
    counted = [number for number in missing if not nodes[number].removing]  # nobody waits for one that leaves
    too_many = list(exceeded([node.roles for node in nodes], counted, tolerance))
    if not too_many:
        return [], [f"node {nodes[number].name} is left out of this plan: {_why(nodes[number])}" for number in missing]
    return [
        Finding(
            rule="U001",
            field=f"nodes.{nodes[number].name}",
            message=f"node {nodes[number].name} cannot be looked at: {_why(nodes[number])} ({role.total} nodes have its role"
            f"{f' {role.role}' if role.role else ''}, {role.allowed} may be missing)",
            remedy="Bring it back, take it out of the environment, or let the role tolerate it.",
        )
        for role in too_many
        for number in role.missing
    ], []


def primaries_left_out(nodes: Sequence[NodeInput], primaries: Mapping[str, int]) -> list[str]:
    """A warning for each selector of one node whose node cannot be looked at."""
    return [
        f"{selector} is node {nodes[place].name}, which is left out: what is for it alone waits for another plan."
        for selector, place in sorted(primaries.items())
        if nodes[place].left_out
    ]


def _why(node: NodeInput) -> str:
    """The reason without the node's name, which stands before it already."""
    return node.left_out.removeprefix(f"node {node.name}: ")


def _finding(rule: str, part: PluginParts, role: str, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, plugin=part.plugin.name, contribution=f"roles {role}", message=message, remedy=remedy)


def tolerances(parts: Sequence[PluginParts], chosen: Mapping[str, int | str]) -> dict[str, int | str]:
    """How many nodes of each role may fail: as the operator set it, else as the role says."""
    result: dict[str, int | str] = {role.name: role.tolerance for part in parts for role in part.roles}
    result.update(chosen)
    return dict(sorted(result.items()))
