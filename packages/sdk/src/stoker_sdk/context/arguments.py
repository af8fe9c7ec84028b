# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments: the names that functions of each extension point may take; a function takes those that it wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTEXT: Final = "context"
"""The argument that every function may take."""

ARGUMENTS: Final[Mapping[str, frozenset[str]]] = {
    "serializer_hooks": frozenset({"objects", CONTEXT}),
    "events": frozenset({"event", CONTEXT}),
    "before_plan": frozenset({"plan", CONTEXT}),
    "validate_settings": frozenset({"settings", CONTEXT}),
    "records": frozenset({"documents", CONTEXT}),
    "actions": frozenset({"job", CONTEXT}),
}
"""Extension point -> names; a worker's contracts have the same, with their types."""
