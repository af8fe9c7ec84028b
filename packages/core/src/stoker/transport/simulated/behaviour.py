# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Behaviour of modelled nodes: what their commands answer, and which faults they show."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import msgspec


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens when an attempt fits; the first rule that fits counts."""

    match: str = ""
    """A regular expression, searched for in the command's text (or ``packages NAME``, ``service NAME``, ``file PATH``)."""
    node: str = "*"
    """A pattern for node names."""
    exit_status: int = 0
    output: str = ""
    delay: float = 0.0
    """Seconds that it takes."""
    times: int = -1
    """How often the rule counts; -1 for always."""
    drop: bool = False
    """The connection is lost while it runs; the node goes on."""
    hang: bool = False
    """It never ends by itself; the time-out does that."""


class NodeFaults(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Faults of a whole node."""

    node: str = "*"
    unreachable: bool = False
    authentication_refused: bool = False
    full_disk: bool = False


class Behaviour(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The table of a fleet, as its JSON file holds it."""

    rules: list[Rule] = []
    faults: list[NodeFaults] = []

    def find(self, node: str, text: str) -> Rule | None:
        """The first rule for a command on a node that still counts."""
        fitting = (rule for rule in self.rules if rule.times != 0 and fnmatch(node, rule.node) and re.search(rule.match, text))
        return next(fitting, None)

    def rule(self, node: str, text: str) -> Rule | None:
        """The same, for a command that is run now: the rule's count goes down."""
        found = self.find(node, text)
        if found is not None and found.times > 0:
            found.times -= 1
        return found

    def guard(self, node: str, text: str) -> bool:
        """Whether a rule for guards (its ``match`` begins with ``unless``) says that there is nothing to do."""
        fitting = (rule for rule in self.rules if rule.match.startswith("unless") and fnmatch(node, rule.node))
        return any(rule.exit_status == 0 and re.search(rule.match, text) for rule in fitting)

    def fault(self, node: str) -> NodeFaults:
        """The first faults that fit a node."""
        return next((fault for fault in self.faults if fnmatch(node, fault.node)), NodeFaults())
