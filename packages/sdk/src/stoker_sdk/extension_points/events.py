# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Events: functions of the plugin that are called after something has happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stoker_sdk.model.code import check_code, check_deadline
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind, did_you_mean

EVENTS: Final = (
    "plugin.installed",
    "plugin.enabled",
    "plugin.disabled",
    "plugin.upgraded",
    "plugin.uninstalled",
    "environment.created",
    "environment.changed",
    "environment.removed",
    "node.created",
    "node.changed",
    "node.removed",
    "deployment.finished",
)
"""What a plugin can hear of. Those of ``plugin`` are told of the plugin itself alone."""


class EventHandler(Contribution, frozen=True, kw_only=True, tag="events"):
    """A function that is called after events; delivered at least once, for one object in order, and again until it succeeds.

    ::

        def node_changed(event: Event, context: Context) -> None: ...

    Events of an environment and its nodes are told to plugins that are enabled there. ``plugin.disabled`` and
    ``plugin.uninstalled`` are told before the plugin goes, with a deadline, and never keep it from going.
    """

    name: str
    """The handler's name: lower case letters, digits and underscores."""
    events: Sequence[str]
    """What it hears of, e.g. ``node.created``."""
    call: str
    """The function, as ``code(FUNCTION)``."""
    deadline: float = 30
    """Seconds for one event."""

    @property
    def label(self) -> str:
        """``events NAME``."""
        return f"events {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name, function, events and time."""
        yield from check_kind(self.name, "name")
        yield from check_code(self.call, "call")
        yield from check_deadline(self.deadline)
        if not self.events:
            yield Finding(rule="X040", field="events", message="it hears of nothing.", remedy="Name an event.")
        for index, event in enumerate(self.events):
            if event not in EVENTS:
                yield Finding(
                    rule="X040",
                    field=f"events[{index}]",
                    message=f"there is no event {event[:80]!r}.",
                    remedy=f"{did_you_mean(event, EVENTS)}There are: {', '.join(EVENTS)}.",
                )
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Look at the event in the function.")


POINT = ExtensionPoint(name="events", combines="slot", contributions=(EventHandler,), needs_code=True)
