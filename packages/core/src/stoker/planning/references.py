# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""References: whether every name that expressions, templates and selectors use is there; seen without evaluating anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from jinja2 import TemplateError, TemplateSyntaxError
from stoker_sdk.errors import ExpressionError
from stoker_sdk.extension_points.config_files import WholeFile
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.extension_points.tasks import Script, Upload
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.program import compile_expression, shorten
from stoker_sdk.model.selector import read_selector

from stoker.domain.node import Facts
from stoker.planning.parts import PluginParts
from stoker.planning.progress import PROGRESS
from stoker.planning.secret_uses import misuse, secret_paths
from stoker.planning.templates import template_names
from stoker.planning.uses import expressions

VARIABLES: Final = frozenset({"settings", "public", "node", "nodes", "by_role", "by_service", "primary", "environment"})

_BOUND = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one)\s*\(\s*([A-Za-z_]\w*)\s*,")
_NAMED = re.compile(r"\b(by_role|by_service|primary)\s*(?:\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]|\.([A-Za-z_]\w*))")
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "node": frozenset({"id", "name", "address", "roles", "facts"}),
    "node.facts": frozenset(Facts.__struct_fields__),
    "environment": frozenset({"id", "name"}),
}
_MAX_DEPTH = 24


def check_expressions(parts: Sequence[PluginParts], services: Collection[str]) -> list[Finding]:
    """A finding for each expression that is not CEL or names what is not there; and for each template likewise."""
    roles = {role.name for part in parts for role in part.roles}
    findings: list[Finding] = []
    for part in parts:
        for contribution in part.contributions:
            if part.plugin.removing and getattr(contribution, "on", "") != "remove":
                continue  # it is not used any more, and a broken plugin cannot stop its own removal
            for field, source in expressions(contribution):
                PROGRESS.note(part.plugin.name, contribution.label, field)
                for message, remedy in _faults(source, part, roles, services):
                    findings.append(_finding(part, contribution, field, message, remedy))
                findings += _misuses(source, part, contribution, field)
            if isinstance(contribution, Script | Upload) and contribution.source not in part.plugin.blobs:
                path = contribution.source
                message = f"the bundle has no file {path}."
                findings.append(_finding(part, contribution, "source", message, "Build the bundle again.", path))
            if isinstance(contribution, TaskKind) and contribution.executable not in part.plugin.blobs:
                path = contribution.executable
                message = f"the bundle has no program {path}."
                findings.append(_finding(part, contribution, "executable", message, "Build the bundle again.", path))
            if isinstance(contribution, WholeFile) and contribution.template is not None:
                findings += _template_faults(part, contribution, contribution.template)
    return findings


def _misuses(source: str, part: PluginParts, contribution: Contribution, field: str) -> Iterator[Finding]:
    for path in secret_paths(part.plugin.settings):
        what = misuse(source, path)
        if what:
            yield Finding(
                rule="E004",
                plugin=part.plugin.name,
                contribution=contribution.label,
                field=field,
                message=f"{path} is a secret, and expression {shorten(source)!r} {what}; planning does not know its value.",
                remedy="Join a secret to other texts as it is; where it must be written otherwise, make it another setting.",
            )


def _finding(part: PluginParts, contribution: Contribution, field: str, message: str, remedy: str, file: str = "") -> Finding:
    return Finding(
        rule="E003",
        plugin=part.plugin.name,
        contribution=contribution.label,
        field=field,
        message=message,
        remedy=remedy,
        file=file,
    )


def _faults(source: str, part: PluginParts, roles: Collection[str], services: Collection[str]) -> Iterator[tuple[str, str]]:
    try:
        program = compile_expression(source)
    except ExpressionError as error:
        yield f"{error}.", "Write it in CEL."
        return
    text = repr(shorten(source))
    bound = set(_BOUND.findall(source))
    for name in sorted(program.variables - VARIABLES - bound):
        yield f"expression {text}: there is no variable {name!r}.", f"Use one of: {', '.join(sorted(VARIABLES))}."
    for path in sorted(program.paths()):
        root = path.split(".", 1)[0]
        if root not in bound:
            yield from _path_faults(text, path, part)
    for match in _NAMED.finditer(source):
        kind, known = ("service", services) if match[1] == "by_service" else ("role", roles)
        name = match[2] or match[3] or match[4] or ""
        if name not in known and match[1] not in bound and "has(" not in source:
            remedy = f"{did_you_mean(name, known)}Correct the name, or enable its plugin."
            yield f"expression {text}: no enabled plugin brings the {kind} {name!r}.", remedy


def _path_faults(text: str, path: str, part: PluginParts) -> Iterator[tuple[str, str]]:
    steps = path.split(".")
    for length in range(1, min(len(steps), 3)):
        parent = ".".join(steps[:length])
        known = _FIELDS.get(parent)
        if known is not None and steps[length] not in known:
            yield f"expression {text}: {parent} has no {steps[length]!r}.", f"Use one of: {', '.join(sorted(known))}."
            return
    if steps[0] == "public" and len(steps) > 1:
        place: object = part.plugin.public
        for step in steps[1:]:
            place = place.get(step) if isinstance(place, Mapping) else None
        if place is None:
            remedy = "Generators ssh_key and x509 make pairs; the manual names their public parts."
            yield f"expression {text}: no setting has the public part {'.'.join(steps[1:])!r}.", remedy
    if steps[0] == "settings" and len(steps) > 1:
        missing = _missing_setting(part.settings_schema, steps[1:])
        if missing is not None:
            name, there = missing
            remedy = f"Settings here: {', '.join(there)}." if there else "Declare it in the plugin's settings."
            yield f"expression {text}: there is no setting {name!r}.", remedy


def _missing_setting(schema: Mapping[str, object], steps: Sequence[str]) -> tuple[str, list[str]] | None:
    """The first step that the schema does not know, and what it knows there; ``None`` if all is known or cannot be told."""
    place: Mapping[str, object] | None = schema
    for index, step in enumerate(steps):
        place = _resolve(schema, place)
        if place is None:
            return None
        properties = place.get("properties")
        if not isinstance(properties, Mapping):
            closed = index == 0 and not ({"additionalProperties", "patternProperties", "allOf", "oneOf"} & place.keys())
            return (step, []) if closed else None
        if step not in properties:
            is_open = place.get("additionalProperties", False) is not False or "patternProperties" in place
            return None if is_open else (".".join(steps[: index + 1]), sorted(properties))
        following = properties[step]
        place = following if isinstance(following, Mapping) else None
    return None


def _resolve(root: Mapping[str, object], schema: Mapping[str, object] | None) -> Mapping[str, object] | None:
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref") if schema is not None else None
        if not isinstance(reference, str):
            break
        place: object = root
        for part in reference.removeprefix("#").strip("/").split("/"):
            place = place.get(part) if isinstance(place, Mapping) else None
        schema = place if isinstance(place, Mapping) else None
    return schema if schema is None or not ({"anyOf", "oneOf", "allOf", "$ref"} & schema.keys()) else None


def _template_faults(part: PluginParts, contribution: WholeFile, path: str) -> Iterator[Finding]:
    source = part.plugin.templates.get(path)
    if source is None:
        yield _finding(part, contribution, "template", f"the bundle has no template {path}.", "Build the bundle again.", path)
        return
    PROGRESS.note(part.plugin.name, contribution.label, "template", path)
    try:
        names = template_names(source)
    except TemplateError as error:
        place = f"{path}:{error.lineno}" if isinstance(error, TemplateSyntaxError) else path
        yield _finding(part, contribution, "template", f"{place}: {error}.", "Mend the template.", path)
        return
    unknown = sorted(names - VARIABLES)
    if unknown:
        message = f"{path}: there is no variable {', '.join(unknown)}."
        yield _finding(part, contribution, "template", message, f"Use one of: {', '.join(sorted(VARIABLES))}.", path)


def check_selectors(parts: Iterable[PluginParts], services: Collection[str]) -> list[Finding]:
    """A finding for each selector that names a role or a service which no enabled plugin brings."""
    parts = list(parts)
    roles = {role.name for part in parts for role in part.roles}
    findings: list[Finding] = []
    for part in parts:
        for contribution in part.contributions:
            for index, text in enumerate(getattr(contribution, "roles", ())):
                selector, name = read_selector(text), read_selector(text).name
                plugin, label, field = part.plugin.name, contribution.label, f"roles[{index}]"
                if selector.kind in ("role", "primary") and name not in roles:
                    message = f"no enabled plugin brings the role {name!r}, so it can match no node."
                    remedy = f"{did_you_mean(name, roles)}Correct the name, or enable the plugin that brings the role."
                    findings.append(
                        Finding(rule="S001", plugin=plugin, contribution=label, field=field, message=message, remedy=remedy)
                    )
                elif selector.kind == "service" and name not in services:
                    message = f"no enabled plugin brings the service {name!r}, so it can match no node."
                    remedy = f"{did_you_mean(name, services)}Correct the name, or enable the plugin that brings the service."
                    findings.append(
                        Finding(rule="S005", plugin=plugin, contribution=label, field=field, message=message, remedy=remedy)
                    )
    return findings
