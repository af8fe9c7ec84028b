# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker nodes`` with many nodes: chosen by name, filter or file."""

from __future__ import annotations

import json


def test_many_nodes_are_added_chosen_assigned_taken_out_and_removed(simulation, tmp_path):
    cli = simulation.cli
    simulation.install("many")
    cli("env", "create", "many")
    cli("env", "enable", "many", "many")
    file = tmp_path / "nodes.yaml"
    file.write_text("nodes:\n" + "".join(f"- {{name: many{n}, address: many{n}}}\n" for n in range(4)))
    assert "added 4 nodes: many0, many1, many2, many3" in cli("nodes", "add", "--from", file, "--transport", "simulated")
    assert "4 faults" in cli("nodes", "add", "--from", file, status=2)

    def names(*filters):
        return [node["name"] for node in json.loads(cli("nodes", "list", "--json", *filters))["items"]]

    assert names("--free", "--match", "many") == ["many0", "many1", "many2", "many3"]
    assert "many: 2 nodes with the role many and no other" in cli("nodes", "assign", "many", "many0", "many1", "--role", "many")
    assert "many: 2 nodes (2 as before) with the role many and no other" in cli(
        "nodes", "assign", "many", "--match", "many", "--role", "many"
    )
    assert names("--env", "many", "--with-role", "many") == ["many0", "many1", "many2", "many3"]
    assert names("--env", "many", "--status", "unreachable") == []
    cli("nodes", "assign", "many", "many3", "--role", "many", "--remove")
    assert names("--with-role", "many") == ["many0", "many1", "many2"]
    assert "no role 'mnay'" in cli("nodes", "assign", "many", "many0", "--role", "mnay", status=2)
    assert "no node fits" in cli("nodes", "assign", "many", "--match", "nobody", "--role", "many", status=2)
    assert "no node is chosen" in cli("nodes", "assign", "many", "--role", "many", status=2)
    assert "not both" in cli("nodes", "assign", "many", "many0", "--all", "--role", "many", status=2)
    assert "1 node leave" in cli("nodes", "unassign", "many", "many3")
    assert "--yes" in cli("nodes", "unassign", "many", "--all", status=2)
    done = json.loads(cli("nodes", "unassign", "many", "--all", "--yes", "--json"))
    assert done["changed"] == ["many0", "many1", "many2"]
    assert "removed 4 nodes" in cli("nodes", "remove", "many0", "many1", "many2", "many3")
    assert names("--match", "many") == []
    assert "--from FILE alone" in cli("nodes", "add", "many0", status=2)
    file.write_text("- many0\n")
    assert "does not hold a list of nodes" in cli("nodes", "add", "--from", file, status=2)
