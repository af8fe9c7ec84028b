# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Contributions that plugins' code computed for one snapshot: read, told apart from static ones, and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, cast

import msgspec
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.contribution import Contribution

from stoker.domain.plan import PlannedComputed
from stoker.domain.snapshot import PluginInput


def read_computed(plugin: PluginInput) -> list[Contribution]:
    """What a plugin's hooks gave; each contribution says in its label which hook it comes from."""
    return [
        told_apart(read_contribution(document), computed.hook)
        for computed in plugin.computed
        for document in computed.contributions
    ]


def told_apart(contribution: Contribution, hook: str) -> Contribution:
    """A contribution whose label, and so every finding and every origin, names the hook that gave it."""
    fields = {name: getattr(contribution, name) for name in contribution.__struct_fields__}
    return _kind(type(contribution), hook)(**fields)


@cache
def _kind(kind: type[Contribution], hook: str) -> type[Contribution]:
    """The same class with a longer label."""

    def label(self: Contribution) -> str:
        plain: Any = kind.label
        return f"{plain.fget(self)} (before_plan {hook})"

    config = kind.__struct_config__
    made = msgspec.defstruct(
        kind.__name__,
        [],
        bases=(kind,),
        namespace={"label": property(label)},
        frozen=True,
        kw_only=True,
        tag=config.tag,
        tag_field=config.tag_field,
    )
    return cast("type[Contribution]", made)


def planned_computed(plugins: Sequence[PluginInput]) -> list[PlannedComputed]:
    """What the plan says of them."""
    return [
        PlannedComputed(
            plugin=plugin.name,
            version=plugin.version,
            hook=computed.hook,
            digest=computed.digest,
            contributions=[read_contribution(document).label for document in computed.contributions],
            missing=computed.missing,
        )
        for plugin in plugins
        for computed in plugin.computed
    ]


def missing(plugins: Sequence[PluginInput]) -> Iterator[str]:
    """A warning for each hook that failed, and without which the plan was made."""
    for plugin in plugins:
        for computed in plugin.computed:
            if computed.missing:
                yield (
                    f"plugin {plugin.name}: before_plan {computed.hook} gave nothing, and what it would have brought is missing: "
                    f"{computed.missing}"
                )
