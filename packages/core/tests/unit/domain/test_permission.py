# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Who has which permission of a plugin."""

from __future__ import annotations

import msgspec
import pytest
from stoker.domain.access import AccessLevel
from stoker.domain.actor import Actor
from stoker.domain.permission import declared, permissions_of
from stoker_sdk import Plugin
from stoker_sdk.extension_points import node_packages, permissions
from stoker_sdk.manifest import to_manifest

MANIFEST = msgspec.json.encode(
    to_manifest(
        Plugin(
            name="shelves",
            version="1.0.0",
            title="Shelves",
            contributions=[
                node_packages.NodePackages(roles=["*"], packages=["permissions"]),
                permissions.Permission(name="look", title="Look at shelves", access="viewer"),
                permissions.Permission(name="fill", title="Fill shelves"),
                permissions.Permission(name="burn", title="Burn shelves", access="admin"),
            ],
        )
    )
).decode()


def who(access: AccessLevel, *environments: str) -> Actor:
    return Actor(kind="user", name="ann", access=access, environments=frozenset(environments) if environments else None)


@pytest.mark.parametrize(
    ("actor", "environment", "expected"),
    [
        (who(AccessLevel.VIEWER), None, {"look"}),
        (who(AccessLevel.OPERATOR), None, {"look", "fill"}),
        (who(AccessLevel.OPERATOR), "lab", {"look", "fill"}),
        (who(AccessLevel.ADMIN), "lab", {"look", "fill", "burn"}),
        (who(AccessLevel.ADMIN, "lab"), "lab", {"look", "fill", "burn"}),
        (who(AccessLevel.ADMIN, "lab"), "other", {"look"}),
        (who(AccessLevel.OPERATOR, "lab"), None, {"look"}),
    ],
)
def test_access_level_and_environments_decide(actor: Actor, environment: str | None, expected: set[str]) -> None:
    assert permissions_of(actor, MANIFEST, environment) == expected


def test_a_manifest_declares_its_permissions_alone() -> None:
    assert [item.name for item in declared(MANIFEST)] == ["look", "fill", "burn"]
    assert declared('{"contributions": [{"point": "node_packages", "packages": ["permissions"]}]}') == ()
