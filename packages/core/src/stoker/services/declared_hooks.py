# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks as manifests declare them, and what their calls need."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from stoker_sdk.context.values import Caller
from stoker_sdk.extension_points.before_plan import BeforePlan
from stoker_sdk.extension_points.events import EventHandler
from stoker_sdk.extension_points.validate_settings import ValidateSettings
from stoker_sdk.manifest import read_contribution
from stoker_sdk.model.contribution import Contribution

from stoker.domain import actor
from stoker.plugin_host.dispatch import BACKGROUND_CALLER, Hook

C = TypeVar("C", bound=Contribution)
_KEPT: Final = 256


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


@lru_cache(maxsize=_KEPT)
def declared(manifest: str, kind: type[C]) -> tuple[C, ...]:
    """A manifest's (JSON text) contributions of one class, in its order."""
    tag = str(kind.__struct_config__.tag)
    if tag not in manifest:
        return ()
    return declared_in(msgspec.json.decode(manifest, type=_Manifest).contributions, kind)


def declared_in(contributions: list[dict[str, object]], kind: type[C]) -> tuple[C, ...]:
    """Those of one class among contributions in their JSON form."""
    tag = kind.__struct_config__.tag
    read = [read_contribution(item) for item in contributions if item.get("point") == tag]
    return tuple(item for item in read if isinstance(item, kind))


def hook_of(plugin: str, version: str, item: EventHandler | BeforePlan | ValidateSettings) -> Hook:
    """A contribution as the dispatcher calls it."""
    return Hook(
        plugin=plugin,
        version=version,
        point=str(item.__struct_config__.tag),
        name="" if isinstance(item, ValidateSettings) else item.name,
        function=item.call,
        deadline=item.deadline,
        required=False if isinstance(item, EventHandler) else item.required,
    )


def present_caller() -> Caller:
    """Who the present work is done for, as a plugin's code sees them."""
    who = actor.current()
    if who.kind not in ("user", "server"):
        return BACKGROUND_CALLER
    return Caller(kind=who.kind, name=who.name, access=who.access.value)
