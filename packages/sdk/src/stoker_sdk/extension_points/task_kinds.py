# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Task kinds: new kinds of tasks, each an executable of the bundle that runs on the node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pydantic

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind


class TaskKind(Contribution, frozen=True, kw_only=True, tag="task_kinds"):
    """A kind of task: a schema of parameters and an executable that carries it out on the node, never in the control plane.

    A task of the kind is a ``tasks.custom``, of this plugin or of another one.
    """

    name: str
    """The kind's name inside the plugin: lower case letters, digits and underscores. Others call it ``plugin.name``."""
    title: str
    """What a task of the kind does, for a person."""
    executable: str
    """The program's path inside the plugin's folder, e.g. ``files/probe.py``; its first line (``#!``) names the interpreter."""
    parameters: Mapping[str, object] = {}
    """JSON Schema (2020-12) of the parameters, an object; see :func:`schema_of`. Without one a task has no parameters."""
    description: str = ""
    """More on it, Markdown."""
    dry_run: bool = False
    """Whether the program can tell with ``--dry-run`` what it would change, and changes nothing then."""
    idempotent: bool = False
    """Whether a task of the kind may run twice without harm, unless the task says otherwise."""
    timeout: int = 600
    """Seconds for one attempt, unless the task says otherwise."""

    @property
    def label(self) -> str:
        """``task_kinds NAME``."""
        return f"task_kinds {self.name}"

    @property
    def schema(self) -> Mapping[str, object]:
        """The schema that parameters are held against."""
        return self.parameters or {"type": "object", "additionalProperties": False}

    def check(self) -> Iterable[Finding]:
        """Name, program and time; a kind is there or not, so it has no condition."""
        yield from check_kind(self.name, "name")
        if not self.executable:
            yield Finding(
                rule="Q002", field="executable", message="there is no program.", remedy="Name a file of the plugin's folder."
            )
        if self.timeout <= 0:
            yield Finding(
                rule="T001", field="timeout", message=f"{self.timeout} is not a time.", remedy="Give a number of seconds above 0."
            )
        if self.when is not None:
            yield Finding(
                rule="Q003",
                field="when",
                message="a kind of task has no condition.",
                remedy="Put the condition on the tasks of the kind.",
            )


def schema_of(model: type[pydantic.BaseModel]) -> Mapping[str, object]:
    """The schema of parameters, made from a pydantic model."""
    return model.model_json_schema()


POINT = ExtensionPoint(name="task_kinds", combines="slot", contributions=(TaskKind,))
