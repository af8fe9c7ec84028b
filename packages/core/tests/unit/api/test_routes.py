# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every route has its access level, and every changing route its word in the audit."""

from __future__ import annotations

from pathlib import Path

import pytest
import stoker
from stoker.api.auth import OPEN, READING
from stoker.api.rights import level_of
from stoker.app import routers
from stoker.domain.access import AccessLevel

ADMIN = {
    ("DELETE", "/api/credentials/{credential}"),
    ("DELETE", "/api/plugin-defaults/{name}"),
    ("DELETE", "/api/plugin-denials/{name}"),
    ("DELETE", "/api/plugin-records/{plugin}/{collection}/kept"),
    ("DELETE", "/api/plugin-versions/{name}/{version}"),
    ("DELETE", "/api/users/{user}"),
    ("GET", "/api/audit/export"),
    ("GET", "/api/users"),
    ("PATCH", "/api/users/{user}"),
    ("POST", "/api/credentials"),
    ("POST", "/api/plugin-denials"),
    ("POST", "/api/plugins"),
    ("POST", "/api/repositories/key"),
    ("POST", "/api/users"),
    ("PUT", "/api/plugin-defaults/{name}"),
}
"""What admins alone may do; a route that leaves this list gives root on nodes, or the keys to the house, to more people."""
OPERATORS_READ = {
    ("GET", "/api/audit"),
    ("GET", "/api/plugin-logs/{plugin}"),
    ("GET", "/api/plugin-records/{plugin}"),
    ("GET", "/api/plugin-records/{plugin}/{collection}"),
}
"""Reading routes that viewers may not use."""
OWN = {
    ("DELETE", "/api/session"),
    ("DELETE", "/api/tokens/{token}"),
    ("POST", "/api/session/links"),
    ("POST", "/api/tokens"),
    ("PUT", "/api/users/{user}/password"),
}
"""Changing routes that viewers may use: about their own session, tokens and password."""
PERMITTED = {
    ("POST", "/api/actions/{plugin}/{action}"),
    ("POST", "/api/environments/{env}/actions/{plugin}/{action}"),
    ("POST", "/api/jobs/{job}/cancel"),
}
"""Changing routes whose service asks for a plugin's permission, which may begin with viewers."""
ACTIONS = {
    ("DELETE", "/api/credentials/{credential}"): "credential.remove",
    ("DELETE", "/api/environments/{env}"): "environment.delete",
    ("DELETE", "/api/environments/{env}/nodes/{node}"): "node.unassign",
    ("DELETE", "/api/environments/{env}/overrides"): "override.unset",
    ("DELETE", "/api/environments/{env}/plugins/{plugin}"): "plugin.disable",
    ("DELETE", "/api/nodes/{node}"): "node.remove",
    ("DELETE", "/api/plugin-defaults/{name}"): "plugin.set-default",
    ("DELETE", "/api/plugin-denials/{name}"): "plugin.allow",
    ("DELETE", "/api/plugin-records/{plugin}/{collection}/kept"): "records.purge",
    ("DELETE", "/api/plugin-versions/{name}/{version}"): "plugin.uninstall",
    ("DELETE", "/api/session"): "session.end",
    ("DELETE", "/api/tokens/{token}"): "token.revoke",
    ("DELETE", "/api/users/{user}"): "user.remove",
    ("PATCH", "/api/nodes/{node}"): "node.change",
    ("PATCH", "/api/users/{user}"): "user.change",
    ("POST", "/api/actions/{plugin}/{action}"): "job.start",
    ("POST", "/api/credentials"): "credential.add",
    ("POST", "/api/deployments/{deployment}/answer"): "deployment.answer",
    ("POST", "/api/deployments/{deployment}/retry"): "deployment.retry",
    ("POST", "/api/deployments/{deployment}/stop"): "deployment.stop",
    ("POST", "/api/environments"): "environment.create",
    ("POST", "/api/environments/{env}/actions/{plugin}/{action}"): "job.start",
    ("POST", "/api/environments/{env}/checks"): "environment.check",
    ("POST", "/api/environments/{env}/deployments"): "deployment.start",
    ("POST", "/api/environments/{env}/nodes/{node}/lost"): "node.lose",
    ("POST", "/api/environments/{env}/plans"): "plan.create",
    ("POST", "/api/environments/{env}/plugin-rollbacks"): "plugin.rollback",
    ("POST", "/api/environments/{env}/plugin-upgrades"): "plugin.upgrade",
    ("POST", "/api/plans/{plan}/dry-run"): "plan.dry-run",
    ("POST", "/api/environments/{env}/nodes:assign"): "node.assign",
    ("POST", "/api/environments/{env}/nodes:unassign"): "node.unassign",
    ("POST", "/api/jobs/{job}/cancel"): "job.cancel",
    ("POST", "/api/nodes"): "node.add",
    ("POST", "/api/nodes:add"): "node.add",
    ("POST", "/api/nodes:remove"): "node.remove",
    ("POST", "/api/nodes/{node}/forget-host-key"): "node.forget-host-key",
    ("POST", "/api/nodes/{node}/refresh"): "node.refresh",
    ("POST", "/api/nodes/{node}/replace"): "node.replace",
    ("POST", "/api/plugin-denials"): "plugin.deny",
    ("POST", "/api/plugins"): "plugin.install",
    ("POST", "/api/quarantine/{plugin}/rearm"): "hook.rearm",
    ("POST", "/api/repositories/key"): "repository_key.renew",
    ("POST", "/api/session"): "session.begin",
    ("POST", "/api/session/link"): "session.begin",
    ("POST", "/api/session/links"): "session.make-link",
    ("POST", "/api/tokens"): "token.create",
    ("POST", "/api/users"): "user.add",
    ("PUT", "/api/environments/{env}/document"): "environment.apply",
    ("PUT", "/api/environments/{env}/nodes/{node}"): "node.assign",
    ("PUT", "/api/environments/{env}/overrides"): "override.set",
    ("PUT", "/api/environments/{env}/plugins/{plugin}"): "plugin.enable",
    ("PUT", "/api/plugin-defaults/{name}"): "plugin.set-default",
    ("PUT", "/api/users/{user}/password"): "user.set-password",
}
"""What the audit calls what a changing route does. A new route belongs here, with the action that its use case records."""
UNTOLD: dict[tuple[str, str], str] = {
    ("POST", "/api/environments/{env}/drift"): "it looks, and changes nothing",
    ("POST", "/api/environments/{env}/document/diff"): "it compares, and changes nothing",
}
"""Changing routes that leave no word in the audit, with the reason."""


def all_routes():
    for router in routers():
        for route in router.routes:
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    if method != "OPTIONS":
                        yield (method, route.path_format.rstrip("/") or "/"), handler


ROUTES = dict(all_routes())
CHANGING = {place for place in ROUTES if place[0] not in READING}


def test_there_is_something_to_look_at() -> None:
    assert len(ROUTES) > 40


def test_no_route_of_the_core_is_below_a_plugins_name() -> None:
    """What is below /api/plugins/NAME/ and /api/environments/ENV/plugins/NAME/ is answered by the plugin's application alone."""
    for _, path in ROUTES:
        parts = path.strip("/").split("/")
        assert parts[:2] != ["api", "plugins"] or len(parts) <= 3, path
        assert parts[:2] != ["api", "environments"] or parts[3:4] != ["plugins"] or len(parts) <= 5, path


def test_every_route_has_a_level() -> None:
    levels = {place: level_of(handler) for place, handler in ROUTES.items()}
    assert {place for place, level in levels.items() if level is AccessLevel.ADMIN} == ADMIN
    assert {place for place, level in levels.items() if level is AccessLevel.OPERATOR} == OPERATORS_READ | (
        CHANGING - ADMIN - OWN - OPEN - PERMITTED
    )
    assert {place for place in CHANGING if levels[place] is AccessLevel.VIEWER} == OWN | PERMITTED
    assert {place for place, level in levels.items() if level == "open"} == OPEN


@pytest.mark.parametrize("place", sorted(CHANGING), ids=" ".join)
def test_every_change_is_told(place: tuple[str, str]) -> None:
    assert place in ACTIONS or UNTOLD.get(place), (
        f"{place} is not in ACTIONS: record it with services/audit.py and name the action"
    )


def test_the_actions_are_those_of_the_code() -> None:
    assert not set(ACTIONS) - CHANGING
    code = "".join(file.read_text() for file in (Path(stoker.__file__).parent / "services").glob("*.py"))
    assert not [action for action in ACTIONS.values() if f'"{action}"' not in code]
