# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions: operations that a person starts on an environment or a node; each becomes a job with progress and a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from stoker_sdk.model.code import check_code
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind


class Action(Contribution, frozen=True, kw_only=True, tag="actions"):
    """An operation that a person starts, with a form; it runs as a job that can be watched and cancelled.

    ::

        def recount(job: Job, context: Context) -> JSON: ...

    ``job.form`` holds what the person filled in. ``job.progress(0.4, "...")``, ``job.log("...")`` and
    ``job.checkpoint(state)`` tell how far
    it is; ``job.cancelled`` says that it shall end. After a restart of the server a job with ``restartable`` is called again,
    with the state
    of its last checkpoint; any other one is said to be broken off.
    """

    name: str
    """Lower case letters, digits and underscores."""
    title: str
    """What it does, for a person, e.g. ``Count again``."""
    call: str
    """The function, as ``code(FUNCTION)``."""
    target: Literal["environment", "node", "server"] = "environment"
    """What it is started on; with ``server`` it needs no environment."""
    form: Mapping[str, object] = {}
    """JSON Schema (2020-12) of what is filled in; without one nothing is."""
    confirm: str = ""
    """A question to answer before it starts; empty: none."""
    permission: str = ""
    """A permission of this plugin; empty: operators."""
    restartable: bool = False
    """Whether it may be called again from its last checkpoint."""
    deadline: float = 3600
    """Seconds for the whole job."""
    json_result: Mapping[str, object] = msgspec.field(name="result", default={})
    """JSON Schema of what the function gives; without one, anything."""

    @property
    def label(self) -> str:
        """``actions NAME``."""
        return f"actions {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name, title, function and time; an action is there or not, so it has no condition."""
        yield from check_kind(self.name, "name")
        yield from check_code(self.call, "call")
        if not self.title.strip():
            yield Finding(rule="X060", field="title", message="There is no title.", remedy="Say in a few words what it does.")
        if self.deadline <= 0:
            yield Finding(rule="X007", field="deadline", message="it is not above 0.", remedy="Give seconds above 0.")
        yield from _check_form(self.form)
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave 'when' out.")


def _check_form(form: Mapping[str, object]) -> Iterable[Finding]:
    """A form is an object, and holds no secret: what is filled in is shown with the job, and kept."""
    if form and form.get("type") != "object":
        yield Finding(
            rule="X065", field="form", message="it is not an object.", remedy="Write a schema with type: object and properties."
        )
    if _has_secret(form):
        yield Finding(
            rule="X066",
            field="form",
            message="it asks for a secret, and a form is shown with its job.",
            remedy="Let the secret be a setting of the plugin.",
        )


def _has_secret(schema: object) -> bool:
    if isinstance(schema, Mapping):
        return schema.get("x-secret") not in (None, False) or any(_has_secret(part) for part in schema.values())
    return isinstance(schema, list | tuple) and any(_has_secret(part) for part in schema)


POINT = ExtensionPoint(name="actions", combines="slot", contributions=(Action,), needs_code=True)
