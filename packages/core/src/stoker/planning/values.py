# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Values and conditions of one plugin, evaluated for each node; secrets stay opaque tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from stoker_sdk.errors import ExpressionError
from stoker_sdk.model.cel_engine import cel
from stoker_sdk.model.expression import Condition, Expression, condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.program import Program, compile_expression, shorten
from stoker_sdk.model.selector import ONCE, nodes_of, read_selector

from stoker.domain.snapshot import NodeInput, PluginInput
from stoker.planning.progress import PROGRESS
from stoker.planning.secret_places import SecretPlaces
from stoker.planning.selectors import Membership

NODE_NAMES: Final = frozenset({"node"})
"""Variables that differ from node to node."""

_WIDE: Final = frozenset({"nodes", "by_role", "by_service"})
"""Variables that grow with the number of nodes."""


class ValueFault(Exception):  # noqa: N818  a finding on its way up, not an error of its own
    """A value or condition cannot be had; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        """Keep the finding."""
        self.finding = finding
        super().__init__(str(finding))


class ForeignValue:
    """A value that is not this plugin's own: whoever gave it knows how to evaluate it."""

    def evaluate(self, node: int) -> object:
        """The value on a node. Raises ValueFault."""
        raise NotImplementedError

    def is_shared(self) -> bool:
        """Whether it is the same on all nodes."""
        raise NotImplementedError


class Nodes:
    """The nodes of a snapshot as expressions see them; made once for all plugins."""

    def __init__(self, nodes: Sequence[NodeInput], membership: Membership) -> None:
        """Turn nodes into plain maps."""
        self.documents: list[dict[str, object]] = [
            {
                "id": node.id,
                "name": node.name,
                "address": node.address,
                "roles": list(node.roles),
                "facts": msgspec.to_builtins(node.facts),
            }
            for node in nodes
        ]
        staying = [index for index, node in enumerate(nodes) if not node.removing]
        self.staying = [self.documents[index] for index in staying]
        self.by_role: dict[str, list[dict[str, object]]] = {}
        for index in staying:
            for role in nodes[index].roles:
                self.by_role.setdefault(role, []).append(self.documents[index])
        self.by_service: dict[str, list[dict[str, object]]] = {
            name: [self.documents[index] for index in staying if membership.has(index, (nodes_of(name),))]
            for name in membership.services
        }
        self.primary: dict[str, dict[str, object]] = {
            read_selector(selector).name: self.documents[index]
            for selector, index in membership.primaries.items()
            if selector != ONCE and not nodes[index].removing
        }


class _Compiled:
    """A program, and what its value depends on."""

    __slots__ = ("node_paths", "plain", "program", "shared", "wide")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.shared = not (program.variables & NODE_NAMES)
        """Whether it is the same on all nodes."""
        self.wide = bool(program.variables & _WIDE)
        """Whether it looks at other nodes."""
        paths = sorted(path for path in program.paths() if path.split(".", 1)[0] == "node")
        bare = "node" in paths or not paths
        self.node_paths: list[tuple[str, ...]] | None = None if bare else [tuple(path.split(".")[1:]) for path in paths]
        """The places of the node that it looks at; ``None`` if that cannot be told."""
        self.plain = len(paths) == 1 and program.source.strip() == paths[0]
        """Whether it is nothing but such a place."""


def _look_up(document: object, path: tuple[str, ...]) -> object:
    """What is at a place; what stands in the way, in a tuple, if there is no such place."""
    for step in path:
        if not isinstance(document, dict) or step not in document:
            return (document,)
        document = document[step]
    return document


class Scope:
    """What one plugin's expressions see; answers for a node that is set with ``enter``."""

    def __init__(
        self,
        plugin: PluginInput,
        nodes: Nodes,
        environment: Mapping[str, str],
        secrets: SecretPlaces,
        roles: Sequence[str],
    ) -> None:
        """Prepare the context that all of the plugin's expressions share."""
        self.plugin = plugin
        self.secrets = secrets
        self.settings = self._mark(plugin.settings, "")
        self.template_settings: object = None
        """The settings as templates see them; made when the first template asks."""
        by_role = {role: nodes.by_role.get(role, []) for role in {*roles, *nodes.by_role}}
        self.variables: dict[str, object] = {
            "settings": self.settings,
            "public": plugin.public,
            "nodes": nodes.staying,
            "by_role": by_role,
            "by_service": nodes.by_service,
            "primary": nodes.primary,
            "environment": dict(environment),
            "node": {},
        }
        self._documents = nodes.documents
        self._contexts: dict[bool, cel.Context] = {}
        self._entered: dict[bool, int] = {True: -1, False: -1}
        self._node = -1
        self._shared: dict[str, object] = {}
        self._known: dict[tuple[str, str], object] = {}
        self._programs: dict[str, _Compiled] = {}

    def _mark(self, value: object, path: str) -> object:
        if isinstance(value, dict):
            if "$secret" in value:
                return self.secrets.token(self.plugin.name, str(value["$secret"]), int(value.get("version", 1)))
            return {key: self._mark(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._mark(item, f"{path}.{index}") for index, item in enumerate(value)]
        return value

    def enter(self, node: int) -> None:
        """Let ``node`` mean the snapshot's node of this index."""
        self._node = node

    def node_document(self, node: int) -> dict[str, object]:
        """The node as templates see it."""
        return self._documents[node]

    def evaluate(self, value: object, label: str, field: str = "value") -> object:
        """The value of a field: constants as they are, expressions evaluated, lists item by item.

        Raises:
            ValueFault: an expression does not fit what it is evaluated on.
        """
        if isinstance(value, Expression):
            return self._run(value.source, label, field)
        if isinstance(value, ForeignValue):
            return value.evaluate(self._node)
        if isinstance(value, list | tuple):
            items: list[object] = []
            for item in value:
                result = self.evaluate(item, label, field)
                items.extend(result) if isinstance(result, list) else items.append(result)
            return items
        return value

    def holds(self, condition: Condition, label: str) -> bool:
        """Whether a condition is true; none is always true."""
        source = condition_source(condition)
        if source is None:
            return True
        result = self._run(source, label, "when")
        if not isinstance(result, bool):
            raise self._fault(
                label,
                "when",
                f"condition {shorten(source)!r} gives {result!r}, not true or false.",
                "Compare: == != < > in has().",
            )
        return result

    def _run(self, source: str, label: str, field: str) -> object:
        compiled = self._compile(source, label, field)
        if compiled.shared:
            if source not in self._shared:
                self._shared[source] = self._evaluate(compiled, label, field)
            return self._shared[source]
        if compiled.node_paths is None or self._node < 0:
            return self._evaluate(compiled, label, field)
        # The value depends on these places of the node alone: nodes that agree there share it.
        document = self._documents[self._node]
        places = [_look_up(document, path) for path in compiled.node_paths]
        if compiled.plain and isinstance(places[0], str):
            return places[0]
        key = (source, repr(places))
        if key not in self._known:
            self._known[key] = self._evaluate(compiled, label, field)
        return self._known[key]

    def _evaluate(self, compiled: _Compiled, label: str, field: str) -> object:
        context = self._context(wide=compiled.wide)
        if not compiled.shared and self._entered[compiled.wide] != self._node and self._node >= 0:
            context.add_variable("node", self._documents[self._node])
            self._entered[compiled.wide] = self._node
        PROGRESS.note(self.plugin.name, label, field)
        try:
            return compiled.program.evaluate(context)
        except ExpressionError as error:
            raise self._fault(label, field, f"{error}.", "Check the names; has(x.y) asks whether a field is there.") from error

    def _context(self, *, wide: bool) -> cel.Context:
        """The evaluator copies its context each time, so what grows with the number of nodes is left out where it can be."""
        if wide not in self._contexts:
            names = self.variables.keys() if wide else ("settings", "public", "environment", "node", "primary")
            self._contexts[wide] = cel.Context(variables={name: self.variables[name] for name in names})
        return self._contexts[wide]

    def _compile(self, source: str, label: str, field: str) -> _Compiled:
        known = self._programs.get(source)
        if known is None:
            PROGRESS.note(self.plugin.name, label, field)
            try:
                known = self._programs[source] = _Compiled(compile_expression(source))
            except ExpressionError as error:
                raise self._fault(label, field, f"{error}.", "Write it in CEL.") from error
        return known

    def _fault(self, label: str, field: str, message: str, remedy: str) -> ValueFault:
        return ValueFault(
            Finding(rule="E001", plugin=self.plugin.name, contribution=label, field=field, message=message, remedy=remedy)
        )

    def fault(self, label: str, field: str, message: str, remedy: str, *, rule: str = "E002", file: str = "") -> ValueFault:
        """A fault of this plugin, to be raised."""
        return ValueFault(
            Finding(
                rule=rule, plugin=self.plugin.name, contribution=label, field=field, message=message, remedy=remedy, file=file
            )
        )


def refuse_broken(scope: Scope, text: str, label: str, field: str, file: str = "") -> None:
    """Raise ValueFault if a piece of what stands for a secret is left in a text."""
    if scope.secrets.is_broken(text):
        raise scope.fault(
            label,
            field,
            "something besides joining is done to a secret; planning does not know its value.",
            "Join a secret to other texts as it is; where it must be written otherwise, make it another setting.",
            rule="E004",
            file=file,
        )


def is_shared(value: object) -> bool:
    """Whether a field's value is the same on all nodes."""
    if isinstance(value, Expression):
        return not (compile_expression(value.source).variables & NODE_NAMES)
    if isinstance(value, ForeignValue):
        return value.is_shared()
    if isinstance(value, list | tuple):
        return all(is_shared(item) for item in value)
    return True


def sources(value: object) -> list[str]:
    """The texts of all expressions in a value."""
    if isinstance(value, Expression):
        return [value.source]
    if isinstance(value, list | tuple):
        return [source for item in value for source in sources(item)]
    return []


def settings_of(value: object, condition: Condition = None) -> list[str]:
    """The settings that a value and its condition depend on, dotted paths without ``settings.``."""
    texts = sources(value)
    source = condition_source(condition)
    if source is not None:
        texts.append(source)
    found = {
        path.removeprefix("settings.")
        for text in texts
        for path in compile_expression(text).paths()
        if path.startswith("settings.")
    }
    return sorted(found)


def write_text(value: object) -> str:
    """A scalar as configuration files write it: ``true``/``false`` in lower case, numbers plainly."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
