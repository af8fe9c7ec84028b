# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Templates: whole files written with Jinja2 in its sandbox; no loader, no files, no state."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from jinja2 import Template, TemplateError, meta
from jinja2.exceptions import SecurityError

from stoker.planning.progress import PROGRESS
from stoker.planning.template_language import marked, template_environment
from stoker.planning.values import Scope

_ENVIRONMENT: Final = template_environment()
_SETTING = re.compile(r"\bsettings((?:\.[A-Za-z_]\w*)+)")
_ADDRESS: Final = re.compile(r"<[^<>\n]* at 0x[0-9a-f]{6,}>")
"""How Python writes an object that is no text: with its place in memory, another one in each process."""


@lru_cache(maxsize=512)
def _compile(source: str) -> tuple[Template, frozenset[str]]:
    try:
        names = meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
        return _ENVIRONMENT.from_string(source), frozenset(names)
    except (RecursionError, SyntaxError, OverflowError) as error:
        raise TemplateError("it is nested too deep") from error


def template_settings(source: str) -> list[str]:
    """The settings that a template names, dotted paths."""
    return sorted({match[1:] for match in _SETTING.findall(source)})


def template_names(source: str) -> frozenset[str]:
    """The variables that a template takes from outside.

    Raises:
        TemplateError: it is not a template.
    """
    return _compile(source)[1] - frozenset(_ENVIRONMENT.globals)


def uses_node(source: str) -> bool:
    """Whether the template's text differs from node to node."""
    try:
        return "node" in _compile(source)[1]
    except TemplateError:
        return False


def render_template(scope: Scope, node: int, path: str, label: str) -> str:
    """The template's text for one node.

    Raises:
        ValueFault: the template is missing, is wrong, or asks for what is not there; names plugin and file.
    """
    source = scope.plugin.templates.get(path)
    if source is None:
        raise scope.fault(label, "template", f"the bundle has no template {path}.", "Build the bundle again.", file=path)
    PROGRESS.note(scope.plugin.name, label, "template", path)
    try:
        template, _ = _compile(source)
        if scope.template_settings is None:
            scope.template_settings = marked(scope.settings)
        text = template.render({**scope.variables, "settings": scope.template_settings, "node": scope.node_document(node)})
    except RecursionError as error:
        message = f"{path}: it calls itself without end, or is nested too deep."
        raise scope.fault(label, "template", message, "Mend the template.", file=path) from error
    except (TemplateError, SecurityError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else path
        raise scope.fault(
            label, "template", f"{place}: {type(error).__name__}: {error}.", "Mend the template.", file=path
        ) from error
    found = _ADDRESS.search(text)
    if found is not None and found[0] not in source:
        message = f"{path}: it writes {_ADDRESS.sub('...', found[0])[:40]!r}: an object of the program, not a text."
        raise scope.fault(label, "template", message, "Call it, or add |list or |join.", file=path)
    return text
